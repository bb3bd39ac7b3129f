#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Without CONFIG_MMU_NOTIFIER the calls leave no instruction behind: every file that invalidates is compiled as it is,
# without a warning, and with all of its calls deleted (configs/no-notifier), and must not have one instruction more. (Not
# the same code: the compiler may choose other registers, and order the blocks otherwise.)
# x86_64 and i386 are what the build robot failed the posting of 2018 on.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

# The files of this configuration that invalidate; fills in args and objects
invalidating() {
	local file symbol
	while read -r file; do
		symbol=$(sed -nE "s/^obj-\\$\((CONFIG_[A-Z0-9_]+)\).*[[:space:]]$(basename "$file" .c)\.o.*/\1/p" "$src/${file%/*}/Makefile")
		[ -z "$symbol" ] || grep -q "^$symbol=y" "$obj/.config" || continue
		objects+=("${file%c}o")
		! grep -qE 'range(\.|->)(start|end)' "$src/$file" || args+=("CFLAGS_$(basename "$file" c)o=-DREADS_RANGE")
	done < <(cd "$src" && git grep -lE 'mmu_notifier_(range_init|invalidate_range|clear_|test_)' -- 'mm/*.c' 'fs/*.c' 'kernel/*.c' |
		sed '/tests\|mmu_notifier.c/d')
}

# Instructions an object, without the padding
instructions() {
	(cd "$obj" && objdump -d --no-show-raw-insn "$@") | awk '/file format/ { name = $1; sub(/:$/, "", name); n[name] = 0 }
		/^ +[0-9a-f]+:/ && $2 !~ /^(nop|data16|cs|xchg)/ { n[name]++ } END { for (name in n) print name, n[name] }' | sort
}

compare() {
	local objects=() args=()
	configure "$B/work/no-notifier-$1" "$1" gcc "no-notifier-$1.config"
	if grep ^CONFIG_MMU_NOTIFIER= "$obj/.config"; then return 1; fi
	invalidating
	if [ ${#objects[@]} = 0 ]; then
		echo "no file of this configuration invalidates"
		return 1
	fi
	kbuild+=("${args[@]}")
	compile "$out/$1.with" "${objects[@]}"
	if grep . "$out/$1.with"; then return 1; fi
	instructions "${objects[@]}" >"$out/$1.with.count"
	kbuild+=(NOSTDINC_FLAGS="-nostdinc -I$root/configs/no-notifier")
	compile "$out/$1.without" "${objects[@]}"
	# deleted calls leave variables unused
	if grep -E 'error|was not made' "$out/$1.without"; then return 1; fi
	instructions "${objects[@]}" >"$out/$1.without.count"
	join "$out/$1.with.count" "$out/$1.without.count" | awk -v count=${#objects[@]} '{ all += $2 }
		$2 > $3 { print $1 ": " $2 - $3 " instructions are left of calls that do nothing"; bad = 1 }
		END { if (!all || NR != count) print "instructions of " NR " files of " count " were counted"; else printf "%d files, %d instructions\n", NR, all
			exit bad || !all || NR != count }'
}

need_tree
need_commits
out=${MMTRACK_OUT:-$B/results/no-notifier}
mkdir -p "$out"
worktree "$B/work/linux" series
try 1 2 no-notifier x86_64 compare x86_64
try 2 2 no-notifier i386 compare i386
[ ${#failed[@]} = 0 ] || die "no-notifier: the stub of include/linux/mmu_notifier.h, or a caller, leaves something behind: see $out"
