#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Makes $B/linux: the base (tag "base") and on it the patches (branch "series"). The base is a version of configs/bases
# (BASE=) or a git tree of yours (LINUX=, at BASE_COMMIT=, else v7.3, else HEAD), which is only read. Work of yours in
# $B/linux is left alone. With --rebase the base may be of any version, and takes the place of another one.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

user_git() {
	git --no-optional-locks -c core.fsmonitor=false -C "$LINUX" "$@"
}

# Checks LINUX= and sets $commit.
choose_commit() {
	local found missing
	[ -d "$LINUX" ] || die "LINUX=$LINUX is no directory: give the path of a git tree of Linux 7.3"
	[ "$(user_git rev-parse --is-inside-work-tree 2>/dev/null)" = true ] ||
		die "LINUX=$LINUX is not a git tree that git will read ($(user_git rev-parse 2>&1 | head -n 1)): give a clone of Linux 7.3"
	if [ -n "${BASE_COMMIT:-}" ]; then
		commit=$(user_git rev-parse -q --verify "$BASE_COMMIT^{commit}") ||
			die "BASE_COMMIT=$BASE_COMMIT is no commit of $LINUX"
	else
		[ -z "$(user_git status --porcelain --untracked-files=no)" ] ||
			die "LINUX=$LINUX has changes that are not committed: commit or stash them, or name a commit with BASE_COMMIT="
		commit=$(user_git rev-parse -q --verify 'refs/tags/v7.3^{commit}' || user_git rev-parse -q --verify 'HEAD^{commit}') ||
			die "LINUX=$LINUX has no commit yet: give a clone of Linux 7.3"
	fi
	# a clone without all files would fetch them into the user's tree, and cannot for ours
	if [ -n "$(user_git config --get-regexp '^(extensions\.partialclone|remote\..*\.promisor)$')" ]; then
		missing=$(user_git rev-list --objects --missing=print --no-object-names -n 1 "$commit" | awk '/^[?]/ { n++ } END { print n + 0 }')
		[ "$missing" = 0 ] ||
			die "LINUX=$LINUX is a partial clone that lacks $missing objects of ${commit:0:12}: git -C $LINUX checkout ${commit:0:12} fetches them"
	fi
	user_git cat-file -e "$commit:Makefile" 2>/dev/null || die "LINUX=$LINUX is no Linux tree: give a clone of Linux 7.3"
	found=$(user_git show "$commit:Makefile" |
		awk '$1 == "VERSION" { v = $3 } $1 == "PATCHLEVEL" { p = $3 } END { print v "." p }')
	[ "$found" = 7.3 ] || [ -n "$rebase" ] ||
		die "LINUX=$LINUX is Linux $found at ${commit:0:12}, the series is for 7.3: choose a commit with BASE_COMMIT="
}

describe() {
	awk '$1 ~ /^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)$/ { f[$1] = $3 }
	     END { printf "Linux %s.%s%s%s", f["VERSION"], f["PATCHLEVEL"], f["SUBLEVEL"] ? "." f["SUBLEVEL"] : "", f["EXTRAVERSION"] }' \
		<(head -n 8 "$1")
}

from_package() {
	local package
	package=$("$root/scripts/fetch-base.sh")
	step 1 4 "base ${BASE:-$default_base}"
	stepped
	step 2 4 "unpack ${package##*/}"
	rm -rf "$tmp"
	mkdir -p "$tmp"
	case $package in
	*.deb)
		dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
			tar -xJ --strip-components=1 -C "$tmp"
		# Debian ignores everything at the top: git add would not see a new file there.
		sed -i -z 's/\n#\n# Debian packaging: ignore everything.*//' "$tmp/.gitignore"
		what="$(describe "$tmp/Makefile") as packaged by Debian ($(dpkg-deb -f "$package" Version))"
		;;
	*)
		tar -xJf "$package" --strip-components=1 -C "$tmp"
		what="$(describe "$tmp/Makefile") from kernel.org"
		;;
	esac
	stepped
	step 3 4 "commit it"
	plain_git -C "$tmp" init -q --template= -b series
	plain_git -C "$tmp" add -f -A
	GIT_AUTHOR_NAME=mm-track GIT_AUTHOR_EMAIL=mm-track GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' \
		GIT_COMMITTER_NAME=mm-track GIT_COMMITTER_EMAIL=mm-track GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' \
		plain_git -C "$tmp" commit -q -m "$what"
	stepped
}

from_user() {
	local shallow alternates=$tmp/.git/objects/info/alternates
	what="$LINUX at ${commit:0:12}"
	step 1 4 "base $what"
	stepped
	step 2 4 "borrow its objects"
	plain_git init -q --template= -b series "$tmp"
	mkdir -p "${alternates%/*}"
	user_git rev-parse --path-format=absolute --git-path objects >>"$alternates"
	sort -u -o "$alternates" "$alternates"
	if [ "$(user_git rev-parse --is-shallow-repository)" = true ]; then
		shallow=$(user_git rev-parse --path-format=absolute --git-path shallow)
		cat "$shallow" >>"$tmp/.git/shallow"
	fi
	stepped
	step 3 4 "check it out"
	plain_git -C "$tmp" reset -q --hard "$commit"
	stepped
}

# What the base is called: what configs/bases calls this code, else where it is from.
name_base() {
	local id asked=${BASE:-$default_base}
	id=$(git -C "$tmp" rev-parse 'HEAD^{tree}')
	name=$(awk -v id="$id" '$6 == id { print $1 }' "$root/configs/bases")
	[ -z "$name" ] || return 0
	name=$what
	[ -z "${LINUX:-}" ] || return 0
	if [ "$(of_base "$asked" 6)" = - ]; then
		name=$asked
		echo "configs/bases does not pin the tree of $asked: here it is $id"
	elif [ -n "${BASE:-}" ]; then
		die "what came for BASE=$BASE is $what, with the tree $id, which is not the one of configs/bases: leave BASE= out to take it, or use LINUX=/path"
	else
		echo "this is $what, not $asked: results differ where the code does"
	fi
}

# The commit that the patches being applied make.
new_head() {
	git -C "$tree" rev-parse "$(awk '$2 != "-" { c = $2 } END { print c ? c : "base" }' "$state.new")^0"
}

# in_the_way OLD NEW: where these commits differ, the paths that are in the work tree as in neither
in_the_way() {
	local old new path file have
	while IFS=' ' read -r -d '' _ _ old new _ && IFS= read -r -d '' path; do
		file=$tree/$path
		until [ -e "$file" ] || [ -L "$file" ]; do file=${file%/*}; done
		have=other
		if [ "$file" = "$tree/$path" ]; then
			[ -d "$file" ] || have=$(plain_git -C "$tree" hash-object -- "$path")
		elif [ -d "$file" ]; then
			have=${old//?/0} # not there
		fi
		[ "$have" = "$old" ] || [ "$have" = "$new" ] || echo "$path"
	done < <(git -C "$tree" diff --raw --no-abbrev --no-renames -z "$1" "$2")
}

rebase=
[ "${1:-}" != --rebase ] || rebase=1
lock tree
commit='' same=1 tmp=$B/linux.tmp
if [ -n "${LINUX:-}" ]; then
	choose_commit
	LINUX=$(cd "$LINUX" && pwd)
elif [ -n "${BASE:-}" ]; then
	[ -n "$(of_base "$BASE" 1)" ] || die "BASE=$BASE is not known: choose one of $(awk '!/^#/ { printf "%s ", $1 }' "$root/configs/bases")"
fi
sums=$(series_sums "$root/patches")

if [ -d "$tree" ]; then
	need_tree
	have=$(git -C "$tree" config mmtrack.base) || have='one of its own'
	if [ -n "$commit" ]; then
		[ "$(git -C "$tree" rev-parse base^0)" = "$commit" ] || same=
	else
		[ -z "${BASE:-}" ] || [ "$have" = "$BASE" ] || same=
	fi
	want=${commit:+$LINUX at ${commit:0:12}}
	if [ ! "$same" ] && [ ! "$rebase" ]; then
		die "$tree is on base \"$have\", not \"${want:-$BASE}\": give another directory with B=, or make rebase, or make distclean"
	fi
	if [ ! "$same" ]; then
		lock stage
		rm -rf "$tmp"
		if [ "${FORCE:-0}" = 1 ]; then
			rm -rf "$tree"
		elif holds_work; then
			die "$tree, on base \"$have\", holds work that is not in patches/: make refresh$(say_b), or FORCE=1 to throw it away"
		else
			# nothing is compiled again that is the same on both
			rm -rf "$tree"/.git/rebase-{apply,merge} "$state" "$state.new" "$tree/.git/index.lock"
			mv "$tree" "$tmp"
		fi
	fi
else
	rm -rf "$tmp"
fi
if [ ! -d "$tree" ]; then
	lock stage
	if [ -n "$commit" ]; then from_user; else from_package; fi
	name_base
	git -C "$tmp" tag -f base >/dev/null
	git -C "$tmp" config mmtrack.base "$name"
	# what is linked to, as lint did, has another ctime: git would read all of it again
	git -C "$tmp" config core.trustctime false
	git -C "$tmp" config gc.auto 0
	mv "$tmp" "$tree"
fi

# The last call was stopped between applying the patches and having them in the work tree.
if [ -f "$state.new" ]; then
	lock stage
	rm -f "$tree/.git/index.lock"
	old=$(recorded_head) new=$(new_head) head=$(git -C "$tree" rev-parse HEAD)
	# a file is as it was or as it shall be
	if { [ "$head" != "$old" ] && [ "$head" != "$new" ]; } || [ -n "$(in_the_way "$old" "$new")" ] ||
		[ -n "$(comm -12 <(git -C "$tree" diff --name-only "$old" | sort) <(git -C "$tree" diff --name-only "$new" | sort))" ]; then
		die "make tree was stopped half-way, and $tree has changed since: keep what is yours elsewhere, then git -C $tree reset --hard ${new:0:12}"
	fi
	git -C "$tree" reset -q --hard "$new"
	mv "$state.new" "$state"
	end_apply
fi

if in_progress; then
	die "a git am or rebase is in progress in $tree: resolve and --continue it, then make refresh$(say_b); or --abort it, then make tree$(say_b)"
fi
head=$(recorded_head)
same=1
[ "$sums" = "$(recorded_sums)" ] || same=
if [ "$(git -C "$tree" symbolic-ref -q HEAD)" != refs/heads/series ] || [ "$(git -C "$tree" rev-parse HEAD)" != "$head" ] ||
	[ -n "$(git -C "$tree" status --porcelain --untracked-files=no)" ]; then
	[ "$same" ] || die "both patches/ and your work in $tree have changed: make refresh$(say_b) FORCE=1 keeps the work," \
		"git -C $tree reset --hard ${head:0:12} drops it"
	echo "using your work in $tree; make refresh$(say_b) writes it to patches/"
	exit 0
fi
if [ "$same" ] && ! grep -q ' - ' "$state" 2>/dev/null; then
	exit 0
fi

lock stage
n=$(series_names "$root/patches" | wc -l)
step 4 4 "apply $n patches"
rc=0
apply_patches "$root/patches" "$B/apply.state" || rc=1
failure=
if [ $rc != 0 ]; then
	failure=$(git -C "$B/apply.tmp" apply --reject "$(git -C "$B/apply.tmp" rev-parse --path-format=absolute --git-path rebase-apply/patch)" 2>&1 |
		grep -E '^(error|Rejected hunk|fatal)' || cat "$B/apply.log")
fi
end_apply
mv "$B/apply.state" "$state.new"
mapfile -t theirs < <(in_the_way HEAD "$(new_head)")
if [ ${#theirs[@]} != 0 ]; then
	rm "$state.new"
	echo
	die "git does not know $tree/${theirs[0]}, and patches/ has a file of that name: move it away, then make tree$(say_b)"
fi
git -C "$tree" reset -q --hard "$(new_head)"
mv "$state.new" "$state"
stepped
[ $rc = 0 ] && exit 0

# Again in the tree itself, so that it can be resolved there.
mapfile -t rest < <(awk '$2 == "-" { print $3 }' "$state")
(cd "$root/patches" && plain_git -C "$tree" am -q --no-3way --committer-date-is-author-date "${rest[@]/#/$root/patches/}") >/dev/null 2>&1 || rc=1
{
	echo "error: patch $((n - ${#rest[@]} + 1)) of $n does not apply on $(git -C "$tree" log -1 --format=%s base): ${rest[0]}"
	echo "$failure"
	echo "To go on, in $tree: git apply --reject .git/rebase-apply/patch, resolve, git add, git am --continue; then make refresh$(say_b)."
	echo "To give up: git -C $tree am --abort; then mend patches/ and make tree$(say_b)."
} >&2
exit 3
