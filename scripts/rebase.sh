#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Tries the series on another base (BASE=, or LINUX= and BASE_COMMIT=) in a tree of its own, $B/rebase/linux: says which
# patches that has already, and stops at the first that does not apply, where it can be resolved. Each time on what you like.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ -n "${BASE:-}${LINUX:-}" ] ||
	die "on what? make rebase BASE=$(awk '!/^#/ && NF && n++ { print $1; exit }' "$root/configs/bases"), or LINUX=/path/to/linux BASE_COMMIT=tag"
[ "${B##*/}" = rebase ] || { make_build && build_dir "$B/rebase"; }
export B
rc=0
"$root/scripts/tree.sh" --rebase || rc=$?
# 3: a patch does not apply
[ $rc = 0 ] || [ $rc = 3 ] || exit $rc
export GIT_INDEX_FILE=$B/rebase.index
there=0 n=0
git -C "$tree" read-tree base
while read -r name; do
	n=$((n + 1))
	if git -C "$tree" apply --cached --reverse --check "$root/patches/$name" 2>/dev/null; then
		echo "this base has it already: $name"
		there=$((there + 1))
	fi
done < <(series_names "$root/patches")
rm -f "$GIT_INDEX_FILE"
applied=$(git -C "$tree" rev-list --count base..HEAD)
echo "$(git -C "$tree" log -1 --format=%s base): $applied of $n patches applied, $there there already, in $tree"
exit $rc
