# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Sourced by the other scripts: where things are, how to fail, how to show progress, how patches become commits.

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL CDPATH
# what a kernel developer may have set for builds of another kind
unset ARCH SUBARCH CROSS_COMPILE LLVM LLVM_IAS KCFLAGS KCPPFLAGS KAFLAGS KBUILD_OUTPUT O
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# build_dir DIR: everything is built in DIR from here on
build_dir() {
	B=$1
	case $B in /*) ;; *) B=$root/$B ;; esac
	tree=$B/linux
	state=$tree/.git/mmtrack # what was applied: a line "sha256 commit name" a patch, "-" where it failed
}
build_dir "${B:-build}"

# The base that is meant where none is named.
default_base() {
	awk '!/^#/ && NF { print $1; exit }' "$root/configs/bases"
}

die() {
	echo "error: $*" >&2
	exit 1
}

# step N M WHAT: "[n/m] what ..."; stepped: " (N s)"
step() {
	stepstart=$SECONDS
	printf '[%s/%s] %s ... ' "$1" "$2" "$3"
}

stepped() {
	echo "($((SECONDS - stepstart)) s)"
}

# result KIND FIELD...: a line for the record of the stage that runs (see mmtrack/stage.py); nothing without one
result() {
	[ -z "${MMTRACK_RESULTS:-}" ] || (IFS=$'\t' && echo "$*") >>"$MMTRACK_RESULTS"
}

# git with no settings of the user's, so that the result is the same for all.
plain_git() {
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_ATTR_NOSYSTEM=1 git -c core.hooksPath=/dev/null \
		-c core.attributesFile=/dev/null -c core.excludesFile=/dev/null -c gc.auto=0 "$@"
}

need_tree() {
	git -C "$tree" rev-parse -q --verify base^0 >/dev/null 2>&1 || die "there is no tree in $tree yet: make tree"
}

# Is $B a build directory of mm-track's, which may remove what is in it?
licence='made by mm-track: make clean removes what is in this directory'
licensed() {
	[ "$(cat "$B/.mm-track" 2>/dev/null)" = "$licence" ]
}

# make_build: $B is one, and not some directory with files of the user's
make_build() {
	! licensed || return 0
	[ -z "$(ls -A "$B" 2>/dev/null)" ] || die "B=$B holds files, and mm-track has not made it: name another directory"
	mkdir -p "$B"
	echo "$licence" >"$B/.mm-track"
}

# lock NAME: one process at a time has $B/.NAME.lock, until it ends. A stage and what it runs share the lock "stage".
locked=${MMTRACK_STAGE:+ stage }
lock() {
	local fd who
	case $locked in *" $1 "*) return ;; esac
	make_build
	exec {fd}>>"$B/.$1.lock"
	flock -n "$fd" || {
		who=$(cat "$B/.$1.lock")
		die "make ${who% *} runs in $B (pid ${who##* }): wait for it, or use B="
	}
	echo "$(basename "$0" .sh) $$" >"$B/.$1.lock"
	locked+=" $1 "
}

# How to say B= to make for the tree of this process.
say_b() {
	[ "$B" = "$root/build" ] || echo " B=${B#"$root"/}"
}

in_progress() {
	[ -d "$tree/.git/rebase-apply" ] || [ -d "$tree/.git/rebase-merge" ]
}

# Is there anything in $tree but the base and what the recorded patches made of it?
holds_work() {
	[ "$(git -C "$tree" rev-parse series)" != "$(recorded_head)" ] || [ -n "$(git -C "$tree" status --porcelain)" ] ||
		[ -n "$(git -C "$tree" rev-list --all HEAD --not series base)" ]
}

# For what looks at the commits of the branch series: they are all of the work.
need_commits() {
	git -C "$tree" diff --quiet series -- ||
		die "$tree has changes that are not committed, which would be left out: commit or stash them"
}

# The patches of a directory, in order.
series_names() {
	[ ! -f "$1/series" ] || sed 's/#.*//' "$1/series" | awk NF
}

# Their sums, one a line; a listed patch that is missing is an error.
series_sums() {
	local name
	series_names "$1" | while read -r name; do
		[ -f "$1/$name" ] || die "$1/series lists $name, which is not there: restore it, or make refresh"
		sha256sum <"$1/$name" | cut -d' ' -f1
	done
}

recorded_sums() {
	[ ! -f "$state" ] || cut -d' ' -f1 "$state"
}

# The commit that the recorded patches made.
recorded_head() {
	local commit=
	[ ! -f "$state" ] || commit=$(awk '$2 != "-" { c = $2 } END { print c }' "$state")
	git -C "$tree" rev-parse "${commit:-base}^0"
}

# The one who commits: the identity of this repository, else the author of the first patch.
set_committer() {
	local from
	from=$(git mailinfo /dev/null /dev/null <"$1")
	GIT_COMMITTER_NAME=$(git -C "$root" config user.name) || GIT_COMMITTER_NAME=$(sed -n 's/^Author: //p' <<<"$from")
	GIT_COMMITTER_EMAIL=$(git -C "$root" config user.email) || GIT_COMMITTER_EMAIL=$(sed -n 's/^Email: //p' <<<"$from")
	export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
}

# apply_patches DIR STATE: git am of all patches of DIR on base, in a work tree without files, $B/apply.tmp, which
# end_apply removes: nothing is touched in $tree. Writes STATE. Fails when a patch does.
apply_patches() {
	local dir=$1 out=$2 work=$B/apply.tmp names commits i=0 rc=0
	end_apply
	mapfile -t names < <(series_names "$dir")
	plain_git -C "$tree" worktree add -q --no-checkout --detach "$work" base
	plain_git -C "$work" read-tree base
	if [ ${#names[@]} != 0 ]; then
		set_committer "$dir/${names[0]}"
		(cd "$dir" && plain_git -C "$work" am --no-3way --committer-date-is-author-date \
			"${names[@]/#/$dir/}") >"$B/apply.log" 2>&1 || rc=1
	fi
	mapfile -t commits < <(git -C "$work" rev-list --reverse base..HEAD)
	for ((i = 0; i < ${#names[@]}; i++)); do
		echo "$(sha256sum <"$dir/${names[i]}" | cut -d' ' -f1) ${commits[i]:--} ${names[i]}"
	done >"$out"
	return $rc
}

end_apply() {
	rm -rf "$B/apply.tmp"
	git -C "$tree" worktree prune
}
