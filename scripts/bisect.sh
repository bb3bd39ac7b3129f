#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Checks every prefix 1..n of the series: what the series touches compiles on x86_64 and UML with W=1 and sparse, has no
# message more than before the series, and KUnit passes with the suites of that prefix. PATCHES=12-20 takes only these.
# --objects: only the first, on x86_64 without sparse, and of the files only those that a patch changes, or that
# mention what it changes in a header.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

stage=bisect arches=(x86_64 um)
sparse=(C=1 'CHECK=sparse -D__typeof_unqual__=__typeof__')
if [ "${1:-}" = --objects ]; then stage=prefixes arches=(x86_64) sparse=(); fi

# Of what is touched, what the patch changes or what mentions a word of its changes in headers
affected() {
	local words
	words=$(git -C "$tree" diff "$commit^" "$commit" -- '*.h' | sed -n 's/^[-+]//p' | grep -oE '[A-Za-z0-9]+_[A-Za-z0-9_]+' | sort -u) || words=
	touched | while read -r object; do
		if grep -qxF "${object%o}c" <<<"$changed" || { [ -n "$words" ] && grep -qwFf - "$src/${object%o}c" <<<"$words"; }; then
			echo "$object"
		fi
	done
}

prefix() {
	local n=$1 commit=$2 changed list=touched arch
	changed=$(git -C "$tree" diff --name-only "$commit^" "$commit" |
		grep -vE '^(Documentation/|MAINTAINERS|tools/testing/selftests/)') || return 0
	[ $stage = bisect ] || list=affected
	for arch in "${arches[@]}"; do
		# beside what make kunit has on x86_64, what the series touches, which also selects MMU_NOTIFIER before a suite does
		options=(RUNTIME_TESTING_MENU=y TEST_HMM=y)
		[ "$arch" != um ] || options=()
		judge "$commit" "$out/$n.$arch" $list "$B/work/objects-$arch" "$arch" gcc kunit "${options[@]}"
	done
	[ $stage = bisect ] || return 0
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
out=${MMTRACK_OUT:-$B/results/$stage}
mkdir -p "$out"
worktree "$B/work/linux" "${commits[first - 1]}"
for ((n = first; n <= last; n++)); do
	try $((n - first + 1)) $((last - first + 1)) $stage "$(git -C "$tree" log -1 --format=%s "${commits[n - 1]}")" prefix $n "${commits[n - 1]}"
done
[ ${#failed[@]} = 0 ] || die "$stage: ${#failed[@]} of $((last - first + 1)) prefixes are not good: see $out"
echo "$((last - first + 1)) prefixes are good"
