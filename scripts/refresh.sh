#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Writes the commits base..series of $B/linux to patches/, the same commits always to the same bytes; only files whose
# content changes are touched. A commit of which git am would make another message is refused. A new one is of the topic of its
# neighbours in patches/series, or of TOPIC=.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

need_tree
lock tree
patches=$root/patches new=$B/patches.tmp
! in_progress || die "a git am or rebase is in progress in $tree: --continue or --abort it first"
[ "$(git -C "$tree" symbolic-ref -q HEAD)" = refs/heads/series ] ||
	die "HEAD of $tree is not the branch series: git -C $tree switch series"
[ -z "$(git -C "$tree" status --porcelain --untracked-files=no)" ] ||
	die "$tree has changes that are not committed: commit or stash them"
[ -z "$(git -C "$tree" rev-list --merges base..series)" ] ||
	die "there is a merge between base and series: git -C $tree rebase base"

format() {
	plain_git -C "$tree" format-patch -q -o "$new" --zero-commit --no-signature --full-index --no-numbered \
		--no-renames --diff-algorithm=default --stat=72 --subject-prefix=PATCH --src-prefix=a/ --dst-prefix=b/ \
		--no-color --no-ext-diff --no-textconv --no-thread --no-cover-letter --no-base --no-attach "$@"
}

of_commit() {
	git -C "$tree" log -1 --date=raw --format="$1" "$commit"
}

# Does git am make of $file the message that the commit has?
same_message() {
	local subject
	[ "$(grep -c '^From ' "$file")" = 1 ] || return 1
	subject=$(plain_git mailinfo "$B/message.tmp" /dev/null <"$file" | sed -n 's/^Subject: //p')
	[ "$(printf '%s\n\n' "$subject" | cat - "$B/message.tmp" | git stripspace)" = "$(of_commit %B | git stripspace)" ]
}

rm -rf "$new"
mkdir -p "$new" "$patches"
format base..series
n=0
: >"$B/series.tmp"
while read -r commit; do
	n=$((n + 1))
	file=$(compgen -G "$new/$(printf %04d $n)-*.patch")
	if ! same_message; then
		# a body that begins like a header is safe behind another one
		format --force-in-body-from --from="$(of_commit '%an <%ae>')" --start-number=$n -1 "$commit"
		same_message ||
			die "${file##*/}: git am would make another message of it, for a line that begins with \"---\", \"diff \", \"From \" or \"[\": reword commit ${commit:0:12} of $tree"
	fi
	# git am reads such a date only as a number
	[ "$(of_commit %at)" -lt 4102444800 ] || sed -i "0,/^Date: .*/s//Date: @$(of_commit %ad)/" "$file"
	echo "${file##*/}" >>"$B/series.tmp"
done < <(git -C "$tree" rev-list --reverse base..series)
mapfile -t files <"$B/series.tmp"
PYTHONPATH=$root/scripts /usr/bin/python3 -m mmtrack topics place "${files[@]}" >"$new/series"

# Somebody else's changes of patches/ are not overwritten.
if [ "${FORCE:-0}" != 1 ] && [ "$(series_sums "$patches")" != "$(recorded_sums)" ] &&
	[ "$(series_sums "$patches")" != "$(series_sums "$new")" ]; then
	die "patches/ has changed since make tree: look with git diff; FORCE=1 overwrites it with the branch"
fi

paste -d' ' <(series_sums "$new") <(git -C "$tree" rev-list --reverse base..series) "$B/series.tmp" >"$state.refresh"
written=0 removed=0
mapfile -t before < <(series_names "$patches")
for file in "$new"/*; do
	if ! cmp -s "$file" "$patches/${file##*/}"; then
		mv "$file" "$patches/"
		written=$((written + 1))
	fi
done
for name in "${before[@]}"; do
	if [ -f "$patches/$name" ] && ! grep -qxF "$name" "$patches/series"; then
		rm "$patches/$name"
		removed=$((removed + 1))
	fi
done
mv "$state.refresh" "$state"
rm -rf "$new" "$B/message.tmp" "$B/series.tmp"
echo "patches/: $n patches on $(git -C "$tree" log -1 --format=%s base), $written files written, $removed removed"
