#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Compiles the series with W=1 in the configurations of configs/matrix (all; --check: the rows of make check, and of them
# only what the series touches; ROWS=: those that one of these globs names). A row with more messages than the base fails,
# and shows them.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

# What a row compiles, by the third column
core() {
	local option
	declare -A having=([TEST_HMM]=lib/test_hmm.o [DRM_VMWGFX]=drivers/gpu/drm/vmwgfx/ [DRM_NOUVEAU]=drivers/gpu/drm/nouveau/
		[KVM]=arch/${arch/%x86_64/x86}/kvm/)
	printf '%s\n' mm/ fs/proc/ lib/kunit/
	for option in "${!having[@]}"; do
		! grep -qE "^CONFIG_$option=[ym]" "$obj/.config" || echo "${having[$option]}"
	done
}

# drivers, KVM and the like: what has mmu_notifier.h in it, or in its driver's header, and uses it
users() {
	git -C "$src" grep -lE 'linux/mmu_notifier\.h|mmu_(notifier|interval)_|hmm_range_fault|make_device_exclusive' -- \
		'*.c' ':!mm' ':!fs/proc' | objects_of | sed "s#^virt/kvm/.*#arch/${arch/%x86_64/x86}/kvm/#" | sort -u
}

row() {
	local name=$1 arch=$2 tools=$3 what=$4
	sparse=()
	[ "$what" != touched ] || sparse=(C=2 'CHECK=sparse -D__typeof_unqual__=__typeof__')
	[ $stage = matrix ] || what=touched
	judge series "$out/$name" "$what" "$B/work/objects-$name" "$arch" "$tools" "${@:5}"
}

need_tree
need_commits
rows=$(grep -vE '^(#|$)' "$root/configs/matrix")
stage=matrix
if [ "${1:-}" = --check ]; then
	rows=$(grep '^check ' <<<"$rows")
	stage+=-check
fi
known=$(awk '{ print $2 }' <<<"$rows")
read -ra globs <<<"${ROWS:-*}"
chosen=
for glob in "${globs[@]}"; do
	found=
	for name in $known; do
		# shellcheck disable=SC2053 # a glob
		[[ $name != $glob ]] || found+=" $name"
	done
	[ -n "$found" ] || die "ROWS: no $glob in configs/matrix: choose of ${known//$'\n'/ }"
	chosen+=$found
done
rows=$(awk -v chosen="$chosen " 'index(chosen, " " $2 " ")' <<<"$rows")
out=${MMTRACK_OUT:-$B/results/$stage}
mkdir -p "$out"
worktree "$B/work/linux" series
count=$(wc -l <<<"$rows") n=0
while read -ra fields <&3; do
	n=$((n + 1))
	try $n "$count" matrix "${fields[1]}" row "${fields[@]:1}"
done 3<<<"$rows"
[ ${#failed[@]} = 0 ] || die "matrix: more messages than the base, or none compiled, in: ${failed[*]}; the whole output is in $out/NAME.log"
