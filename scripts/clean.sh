#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Removes what was built in $B but keeps the tree; with --all the tree too, unless it holds
# work that is not in patches/ (FORCE=1 removes that as well).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ -d "$B" ] || exit 0
licensed || die "B=$B was not made by mm-track: remove it yourself if you mean it"
lock tree
lock stage
if [ "${1:-}" != --all ]; then
	find "$B" -mindepth 1 -maxdepth 1 ! -name linux ! -name '.*.lock' ! -name .mm-track ! -exec test -d '{}/linux/.git' \; -exec rm -rf '{}' +
	exit 0
fi
top=$B
for git in "$B"/linux/.git "$B"/*/linux/.git; do
	if [ ! -d "$git" ] || [ "${FORCE:-0}" = 1 ]; then continue; fi
	build_dir "${git%/linux/.git}"
	if in_progress || holds_work || [ "$(recorded_sums)" != "$(series_sums "$root/patches")" ]; then
		die "$tree holds work that is not in patches/: make refresh$(say_b), or FORCE=1 to throw it away"
	fi
done
rm -rf "$top"
