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

# The version that a Makefile of Linux says.
version() {
	awk '$1 ~ /^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)$/ { f[$1] = $3 }
	     END { printf "%s.%s%s%s", f["VERSION"], f["PATCHLEVEL"], f["SUBLEVEL"] ? "." f["SUBLEVEL"] : "", f["EXTRAVERSION"] }'
}

# Checks LINUX= and sets $commit.
choose_commit() {
	local found missing
	[ -d "$LINUX" ] || die "LINUX=$LINUX is no directory: give the path of a git tree of Linux 7.3"
	LINUX=$(cd "$LINUX" && pwd)
	[ "$(user_git rev-parse --is-inside-work-tree 2>/dev/null)" = true ] ||
		die "LINUX=$LINUX is not a git tree that git will read ($(user_git rev-parse 2>&1 | head -n 1)): give a clone of Linux 7.3"
	if [ -n "${BASE_COMMIT:-}" ]; then
		commit=$(user_git rev-parse -q --verify "$BASE_COMMIT^{commit}") || die "BASE_COMMIT=$BASE_COMMIT is no commit of $LINUX"
	else
		[ -z "$(user_git status --porcelain --untracked-files=no)" ] ||
			die "LINUX=$LINUX has changes that are not committed: commit or stash them, or name a commit with BASE_COMMIT="
		commit=$(user_git rev-parse -q --verify 'refs/tags/v7.3^{commit}' || user_git rev-parse -q --verify 'HEAD^{commit}') ||
			die "LINUX=$LINUX has no commit yet: give a clone of Linux 7.3"
	fi
	# git would fetch what a partial clone lacks into the user's tree, and cannot for ours
	if [ -n "$(user_git config --get-regexp '^(extensions\.partialclone|remote\..*\.promisor)$')" ]; then
		missing=$(user_git rev-list --objects --missing=print --no-object-names -n 1 "$commit" | awk '/^[?]/ { n++ } END { print n + 0 }')
		[ "$missing" = 0 ] ||
			die "LINUX=$LINUX is a partial clone that lacks $missing objects of ${commit:0:12}: git -C $LINUX checkout ${commit:0:12} fetches them"
	fi
	found=$(user_git show "$commit:Makefile" 2>/dev/null | version) || die "LINUX=$LINUX is no Linux tree: give a clone of Linux 7.3"
	[[ $found. = 7.3[.-]* ]] || [ -n "$rebase" ] ||
		die "LINUX=$LINUX is Linux $found at ${commit:0:12}, the series is for 7.3: choose a commit with BASE_COMMIT="
}

from_package() {
	local package
	package=$("$root/scripts/fetch-base.sh")
	step 1 3 "unpack ${package##*/}"
	rm -rf "$tmp"
	mkdir -p "$tmp"
	case $package in
	*.deb)
		dpkg-deb --fsys-tarfile "$package" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
			tar -xJ --strip-components=1 -C "$tmp"
		# Debian ignores everything at the top: git add would not see a new file there.
		sed -i -z 's/\n#\n# Debian packaging: ignore everything.*//' "$tmp/.gitignore"
		name="Linux $(version <"$tmp/Makefile") as packaged by Debian ($(dpkg-deb -f "$package" Version))"
		;;
	*)
		tar -xJf "$package" --strip-components=1 -C "$tmp"
		name="Linux $(version <"$tmp/Makefile") from kernel.org"
		;;
	esac
	stepped
	step 2 3 "commit it"
	plain_git -C "$tmp" init -q --template= -b series
	plain_git -C "$tmp" add -f -A
	GIT_AUTHOR_NAME=mm-track GIT_AUTHOR_EMAIL=mm-track GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' \
		GIT_COMMITTER_NAME=mm-track GIT_COMMITTER_EMAIL=mm-track GIT_COMMITTER_DATE='2026-01-01T00:00:00Z' \
		plain_git -C "$tmp" commit -q -m "$name"
	stepped
}

from_user() {
	local alternates=$tmp/.git/objects/info/alternates
	name=$want
	step 1 3 "borrow the objects of $LINUX"
	plain_git init -q --template= -b series "$tmp"
	mkdir -p "${alternates%/*}"
	user_git rev-parse --path-format=absolute --git-path objects >>"$alternates"
	sort -u -o "$alternates" "$alternates"
	if [ "$(user_git rev-parse --is-shallow-repository)" = true ]; then
		cat "$(user_git rev-parse --path-format=absolute --git-path shallow)" >>"$tmp/.git/shallow"
	fi
	stepped
	step 2 3 "check out ${commit:0:12}"
	plain_git -C "$tmp" reset -q --hard "$commit"
	stepped
}

# Sets $name to what configs/bases calls this code, if it knows it. One BASE= is one code.
check_code() {
	local id known asked=${BASE:-$(default_base)}
	id=$(git -C "$tmp" rev-parse 'HEAD^{tree}')
	known=$(awk -v id="$id" '$6 == id { print $1 }' "$root/configs/bases")
	if [ -n "$known" ]; then
		name=$known
	elif [ -z "$commit" ] && [ "$(awk -v b="$asked" '$1 == b { print $6 }' "$root/configs/bases")" = - ]; then
		name=$asked
		echo "configs/bases does not pin the tree of $asked: here it is $id"
	elif [ -z "$commit" ]; then
		[ -z "${BASE:-}" ] || die "what came for BASE=$BASE is $name with the tree $id, which is not the one of configs/bases: leave BASE= out to take it, or use LINUX=/path"
		echo "this is $name, not $asked: results differ where the code does"
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

rebase='' commit='' tmp=$B/linux.tmp patches=${MMTRACK_PATCHES:-$root/patches}
[ "${1:-}" != --rebase ] || rebase=1
lock tree
[ -n "$rebase" ] || [ -z "${BASE:-}" ] || [ ! -d "$root/patches/stable-${BASE%.*}" ] ||
	die "the series is not for BASE=$BASE, its stable fixes are: make rebase BASE=$BASE"
[ -z "${LINUX:-}" ] || choose_commit
want=${commit:+$LINUX at ${commit:0:12}}
sums=$(series_sums "$patches")
rm -rf "$tmp"

if [ -d "$tree" ]; then
	need_tree
	have=$(git -C "$tree" config mmtrack.base) || have='one of its own'
	on=$have
	[ -z "$commit" ] || on=$(git -C "$tree" rev-parse base^0)
	if [ "${commit:-${BASE:-$on}}" != "$on" ]; then
		[ "$rebase" ] || die "$tree is on base \"$have\", not \"${want:-$BASE}\": give another directory with B=, or make rebase, or make distclean"
		lock stage
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
fi
if [ ! -d "$tree" ]; then
	lock stage
	if [ -n "$commit" ]; then from_user; else from_package; fi
	check_code
	git -C "$tmp" tag -f base >/dev/null
	git -C "$tmp" config mmtrack.base "$name"
	# links to files change their ctime: git would read all of them again
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

! in_progress ||
	die "a git am or rebase is in progress in $tree: resolve and --continue it, then make refresh$(say_b); or --abort it, then make tree$(say_b)"
head=$(recorded_head) same=
[ "$sums" != "$(recorded_sums)" ] || same=1
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
n=$(series_names "$patches" | wc -l)
step 3 3 "apply $n patches"
rc=0 failure=
if ! apply_patches "$patches" "$B/apply.state"; then
	rc=3
	failure=$(git -C "$B/apply.tmp" apply --reject "$(git -C "$B/apply.tmp" rev-parse --path-format=absolute --git-path rebase-apply/patch)" 2>&1 |
		grep -E '^(error|Rejected hunk|fatal)' || cat "$B/apply.log")
fi
end_apply
mv "$B/apply.state" "$state.new"
mapfile -t theirs < <(in_the_way HEAD "$(new_head)")
if [ ${#theirs[@]} != 0 ]; then
	rm "$state.new"
	stepped
	die "git does not know $tree/${theirs[0]}, and patches/ has a file of that name: move it away, then make tree$(say_b)"
fi
git -C "$tree" reset -q --hard "$(new_head)"
mv "$state.new" "$state"
stepped
[ $rc = 3 ] || exit 0

# Again in the tree itself, so that it can be resolved there.
mapfile -t rest < <(awk '$2 == "-" { print $3 }' "$state")
(cd "$patches" && plain_git -C "$tree" am -q --no-3way --committer-date-is-author-date "${rest[@]/#/$patches/}") >/dev/null 2>&1 || rc=3
cat >&2 <<END
error: patch $((n - ${#rest[@]} + 1)) of $n does not apply on $(git -C "$tree" log -1 --format=%s base): ${rest[0]}
$failure
To go on, in $tree: git apply --reject .git/rebase-apply/patch, resolve, git add, git am --continue; then make refresh$(say_b).
To give up: git -C $tree am --abort; then mend patches/ and make tree$(say_b).
END
exit $rc
