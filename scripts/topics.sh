#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Checks that each topic of patches/series (TOPIC=: that one) stands on the base and what it needs: git am takes it, what it
# touches compiles on x86_64, arm64 and UML with W=1 and no message more, and its suites pass on x86_64. --commit NAME only
# applies a topic, and prints the commit (make topics-check goes on from there, see mmtrack/prefixes.py).
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

topics() {
	PYTHONPATH=$root/scripts /usr/bin/python3 -m mmtrack topics "$@"
}

# Applies a topic and its needs to the base. Sets commit.
stand() {
	local dir=$B/topic.tmp
	rm -rf "$dir"
	mkdir -p "$dir"
	topics patches "$1" >"$dir/series"
	(cd "$root/patches" && xargs cp -t "$dir") <"$dir/series"
	if ! apply_patches "$dir" "$B/topic.state"; then
		echo "$1 does not apply to the base with its needs: $(awk '$2 == "-" { print $3; exit }' "$B/topic.state")"
		grep ^error "$B/apply.log"
		return 1
	fi
	commit=$(git -C "$B/apply.tmp" rev-parse HEAD)
	end_apply
}

of_topic() {
	touched "$commit"
}

topic() {
	local commit arch tools config
	stand "$1"
	while read -r _ _ arch tools _ config <&4; do
		read -ra config <<<"$config"
		[ "$arch" != x86_64 ] || config+=(RUNTIME_TESTING_MENU=y TEST_HMM=y)
		judge "$commit" "$out/$1.$arch" of_topic "$B/work/objects-$arch" "$arch" "$tools" "${config[@]}"
	done 4<<<"$rows"
	worktree "$B/work/linux" "$commit"
	PYTHONPATH=$root/scripts B=$B/work ARCHES=x86_64 TESTS='' WRITE='' MMTRACK_RESULTS='' MMTRACK_STAGE=kunit MMTRACK_OUT=$out/$1.kunit \
		/usr/bin/python3 -m mmtrack kunit --any
}

need_tree
lock tree
if [ "${1:-}" = --commit ]; then
	stand "$2"
	echo "$commit"
	exit
fi
rows=$'- - x86_64 gcc - kunit\n- - um gcc - kunit\n'$(grep -E '^check +arm64 ' "$root/configs/matrix")
chosen=$(topics names)
[ -n "$chosen" ] || die "patches/series has no topic"
[ -z "${TOPIC:-}" ] || chosen=$(topics patches "$TOPIC" >/dev/null && echo "$TOPIC")
out=${MMTRACK_OUT:-$B/results/topics}
mkdir -p "$out"
worktree "$B/work/linux" base
n=0
for name in $chosen; do
	try $((n += 1)) "$(wc -w <<<"$chosen")" topics "$name" topic "$name"
done
rm -rf "$B"/topic.{tmp,state}
[ ${#failed[@]} = 0 ] || die "topics: not all stand alone: ${failed[*]}; the whole output is in $out"
