#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Checks every prefix 1..n of the series: what the series touches compiles on x86_64 and UML with W=1 and sparse, has no
# message more than before the series, and KUnit passes with the suites of that prefix. PATCHES=12-20 takes only these.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

# shellcheck disable=SC2034 # compile() uses it
sparse=(C=1 'CHECK=sparse -D__typeof_unqual__=__typeof__')

prefix() {
	local n=$1 commit=$2 arch
	# nothing to compile
	git -C "$tree" diff --name-only "$commit^" "$commit" | grep -qvE '^(Documentation/|MAINTAINERS|tools/testing/selftests/)' || return 0
	for arch in x86_64 um; do
		# beside what make kunit has on x86_64, what the series touches, which also selects MMU_NOTIFIER before a suite does
		options=(RUNTIME_TESTING_MENU=y TEST_HMM=y)
		[ "$arch" != um ] || options=()
		judge "$commit" "$out/$n.$arch" touched "$B/work/objects-$arch" "$arch" gcc kunit "${options[@]}"
	done
	worktree "$B/work/linux" "$commit"
	PYTHONPATH=$root/scripts B=$work ARCHES='um x86_64' TESTS='' WRITE='' MMTRACK_RESULTS='' MMTRACK_STAGE=kunit MMTRACK_OUT=$out/$n.kunit \
		/usr/bin/python3 -m mmtrack kunit --any
}

need_tree
need_commits
mapfile -t commits < <(git -C "$tree" rev-list --reverse base..series)
[ ${#commits[@]} != 0 ] || die "the series is empty: nothing to check"
range=${PATCHES:-1-${#commits[@]}}
first=${range%-*} last=${range#*-}
if [[ ! $range =~ ^[1-9][0-9]*(-[1-9][0-9]*)?$ ]] || ((first > last || last > ${#commits[@]})); then
	die "PATCHES=$PATCHES: which patches? PATCHES=1-${#commits[@]} are all"
fi
out=${MMTRACK_OUT:-$B/results/bisect}
mkdir -p "$out"
worktree "$B/work/linux" "${commits[first - 1]}"
for ((n = first; n <= last; n++)); do
	try $((n - first + 1)) $((last - first + 1)) bisect "$(git -C "$tree" log -1 --format=%s "${commits[n - 1]}")" prefix $n "${commits[n - 1]}"
done
[ ${#failed[@]} = 0 ] || die "bisect: ${#failed[@]} of $((last - first + 1)) prefixes are not good: see $out"
echo "$((last - first + 1)) prefixes are good"
