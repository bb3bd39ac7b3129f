#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Makes a branch of b4 prep in the git tree LINUX, with the cover letter, tracking data and the series (TOPIC=: a topic, on
# what it needs) on it. What is checked out there is not touched, and nothing is sent.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

mail() {
	PYTHONPATH=$root/scripts /usr/bin/python3 -m mmtrack mail "$@"
}

mail check
[ -n "${LINUX:-}" ] || die "in which tree? make b4 LINUX=/path/to/linux"
top=$(git -C "$LINUX" rev-parse --show-toplevel 2>/dev/null) || die "LINUX=$LINUX is no git tree: git clone one, the tag $(mail get tag) in it"
start=${BASE_COMMIT:-$(mail get tag)}
git -C "$top" rev-parse -q --verify "$start^{commit}" >/dev/null ||
	die "$LINUX has no $start: git -C $LINUX fetch --tags, or BASE_COMMIT= names what the series is to stand on"
branch=b4/$(mail get name)
! git -C "$top" rev-parse -q --verify "refs/heads/$branch" >/dev/null ||
	die "$LINUX has a branch $branch already: git -C $LINUX branch -m $branch $branch-before"
mapfile -t names < <(mail patches | awk NF)
mapfile -t below < <(mail below | awk NF)
[ ${#names[@]} != 0 ] || die "patches/series is empty: make refresh"

lock b4
work=$B/b4.tmp
remove() {
	git -C "$top" worktree remove --force "$work" 2>/dev/null || rm -rf "$work"
}
remove
trap remove EXIT
plain_git -C "$top" worktree add -q -f --no-checkout --detach "$work" "$start"
plain_git -C "$work" read-tree "$start"
set_committer "$root/patches/${names[0]}"
export GIT_AUTHOR_NAME=$GIT_COMMITTER_NAME GIT_AUTHOR_EMAIL=$GIT_COMMITTER_EMAIL
put() {
	[ $# = 0 ] || plain_git -C "$work" am -q --no-3way "${@/#/$root/patches/}" >"$B/b4.log" 2>&1
}
if ! { put "${below[@]}" &&
	mail cover | plain_git -C "$work" commit -q --allow-empty --cleanup=whitespace -F - && put "${names[@]}"; }; then
	grep -m 3 -E '^(error|Patch failed)' "$B/b4.log" >&2
	die "the series does not apply to $start of $LINUX: make rebase LINUX=$LINUX BASE_COMMIT=$start"
fi
plain_git -C "$top" branch "$branch" "$(git -C "$work" rev-parse HEAD)"
git -C "$top" config "branch.$branch.b4-prep-cover-strategy" commit
cat <<END
$branch in $top: the cover letter and ${#names[@]} patches on $start${below[*]:+ and ${#below[@]} that they need}. From there:
    git checkout $branch
    b4 prep --show-info
    b4 prep --auto-to-cc        # adds the maintainers
    b4 send -o /tmp/series      # writes the mails, and sends nothing
END
