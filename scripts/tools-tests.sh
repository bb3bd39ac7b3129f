#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Builds and runs the tests of mm/ and lib/ code in user space, tools/testing/vma and tools/testing/radix-tree, at the series.
# radix-tree's main is built and not run: its iteration test reads nodes that were freed (ASan, about every second run), with
# liburcu's membarrier and with its full barriers, in files that the series does not touch.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

# tests DIR PROGRAM...: what they print is long, and ends with how they did
tests() {
	cd "$src/tools/testing/$1"
	make -j"${J:-$(nproc)}" >"$out/$1.build" 2>&1 || { tail -n 20 "$out/$1.build" && return 1; }
	for program in "${@:2}"; do
		"./$program" >"$out/$1.$program" 2>&1 || { echo "$program ended with $?" && tail -n 20 "$out/$1.$program" && return 1; }
	done
	tail -n 1 "$out/$1.$program"
}

need_tree
need_commits
out=${MMTRACK_OUT:-$B/results/tools-tests}
mkdir -p "$out"
worktree "$B/work/linux" series
try 1 2 tools vma tests vma vma
try 2 2 tools radix-tree tests radix-tree idr-test multiorder xarray maple
[ ${#failed[@]} = 0 ] || die "tools-tests: ${failed[*]} failed: the whole output is in $out"
