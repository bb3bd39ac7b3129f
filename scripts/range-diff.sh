#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Shows what the branch series changes against the patches that this repository has committed.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

need_tree
lock tree
old=$B/committed.tmp
rm -rf "$old"
mkdir -p "$old"
if git -C "$root" rev-parse -q --verify HEAD:patches >/dev/null 2>&1; then
	git -C "$root" archive HEAD:patches | tar -x -C "$old"
fi
if [ "$(series_sums "$old")" = "$(recorded_sums)" ] && ! grep -q ' - ' "$state" 2>/dev/null; then
	from=$(recorded_head)
else
	apply_patches "$old" "$B/committed.state" || die "the committed patches do not apply on this base: see $B/apply.log"
	from=$(git -C "$B/apply.tmp" rev-parse HEAD)
	end_apply
fi
rm -rf "$old"
git -C "$tree" --no-pager range-diff base "$from" series
