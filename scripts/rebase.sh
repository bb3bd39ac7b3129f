#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Tries the series on another base (BASE=, or LINUX= and BASE_COMMIT=) in a tree of its own, $B/rebase/linux: says which
# patches that has already, and stops at the first that does not apply, where it can be resolved. Each time on what you like.
# Where there is patches/stable-VERSION (6.12 for BASE=6.12.117), it takes those with "Cc: stable" alone: as they are, or as
# that has them adapted.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ -n "${BASE:-}${LINUX:-}" ] ||
	die "on what? make rebase BASE=$(awk '!/^#/ && NF && n++ { print $1; exit }' "$root/configs/bases"), or LINUX=/path/to/linux BASE_COMMIT=tag"
[ "${B##*/}" = rebase ] || { make_build && build_dir "$B/rebase"; }
export B

# for_stable DIR: applies the patches that go to a stable kernel, of which DIR has some adapted
for_stable() {
	local name file how n=0 total=0 list=$B/stable
	export MMTRACK_PATCHES=$list
	make_build
	mkdir -p "$list"
	rm -f "$list"/*
	touch "$list/series"
	"$root/scripts/tree.sh" --rebase
	export GIT_INDEX_FILE=$B/rebase.index
	git -C "$tree" read-tree base
	while read -r name; do
		how="as it is in ${1#"$root"/}"
		if ! file=$(compgen -G "$1/[0-9]*-${name#*-}"); then
			grep -q '^Cc: stable@' "$root/patches/$name" || continue
			file=$root/patches/$name how="as it is"
		fi
		total=$((total + 1))
		if git -C "$tree" apply --cached "$file" 2>/dev/null; then
			cp "$file" "$list/$name"
			echo "$name" >>"$list/series"
			echo "applies $how: $name"
			n=$((n + 1))
		elif git -C "$tree" apply --cached --reverse --check "$file" 2>/dev/null; then
			echo "this base has it already: $name"
		else
			echo "does not apply: $name"
		fi
	done < <(series_names "$root/patches")
	rm -f "$GIT_INDEX_FILE"
	unset GIT_INDEX_FILE
	"$root/scripts/tree.sh" --rebase
	echo "$(git -C "$tree" log -1 --format=%s base): $n of $total patches for stable apply, in $tree"
}

if [ -n "${BASE:-}" ] && [ -d "$root/patches/stable-${BASE%.*}" ]; then
	for_stable "$root/patches/stable-${BASE%.*}"
	exit
fi

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
