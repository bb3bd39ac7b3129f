# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: GPL-2.0
# Sourced, after common.sh, by what compiles: second work trees, configurations, messages and how they compare.

# What every kernel build gets: the same time stamp, ccache where it is. Sets cc and hostcc.
kernel_env() {
	export KBUILD_BUILD_TIMESTAMP='2026-01-01' KBUILD_BUILD_USER=mm-track KBUILD_BUILD_HOST=mm-track
	cc=gcc hostcc=gcc
	if command -v ccache >/dev/null; then
		# CCACHE_DEPEND: what is not there yet is compiled at once, and not preprocessed first; see ccache-cc.sh
		export CCACHE_BASEDIR=$B CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
		cc="$root/scripts/ccache-cc.sh gcc" hostcc='ccache gcc'
	fi
}

# worktree DIR COMMIT: a second work tree, DIR, at COMMIT, for this process alone until it ends. Sets src, and work, the
# directory that it is in. One that is called linux shares objects with the others in ccache.
worktree() {
	local name=${1#"$B"/}
	work=${1%/*}
	if [ "${src:-}" != "$1" ]; then
		lock "${name//\//-}"
		src=$1
		mkdir -p "$work"
		# one of another tree, or broken off
		[ "$(git -C "$src" rev-parse --git-common-dir 2>/dev/null)" = "$(cd "$tree" && pwd -P)/.git" ] || rm -rf "$src"
		plain_git -C "$tree" worktree prune
		if [ -d "$src" ]; then
			rm -f "$(git -C "$src" rev-parse --absolute-git-dir)/index.lock"
			plain_git -C "$src" clean -q -ffdx
		else
			plain_git -C "$tree" worktree add -q --no-checkout --detach "$src" "$2"
		fi
	fi
	plain_git -C "$src" checkout -q -f --detach "$2"
}

# All that a configuration depends on: what was asked for, and the files it is made of.
config_key() {
	{
		echo "$@"
		git -C "$src" ls-files -s -- '*Kconfig*' '*kunitconfig' 'arch/*/configs' kernel/configs tools/testing/kunit Makefile
		sha256sum "$root"/kunit/*config "$root"/configs/*.config "$obj/.config"
	} 2>&1 | sha256sum
}

kunit_config() {
	local paths
	paths=$(PYTHONPATH=$root/scripts /usr/bin/python3 -c '
import sys
from mmtrack import kunit
print(*kunit.configs(*sys.argv[1:]), sep="\n")' "$1" "$src") || return 1
	mapfile -t paths <<<"$paths"
	cd "$src" && /usr/bin/python3 tools/testing/kunit/kunit.py config --arch="$1" --build_dir="$obj" "${paths[@]}" "${args[@]/#/--make_options=}"
}

# configure OBJ ARCH TOOLS CONFIG [A=y|B=n|C=m ...]: configures $src in OBJ. Sets obj, arch, and kbuild, the make command.
# TOOLS: gcc, clang-NN or the prefix of a cross compiler. CONFIG: "kunit" for that of make kunit, a file of configs/ over
# allnoconfig, or a target of the kernel's make. An option that Kconfig drops is an error, but for one that $src lacks.
configure() {
	local tools=$3 config=$4 log=$1/config.log wanted=$1/wanted.config option known args key
	obj=$1 arch=$2
	key=$*
	shift 4
	kernel_env
	case $tools in
	gcc) args=() ;;
	clang-*) args=(LLVM="-${tools#clang-}") cc=${cc%gcc}$tools ;;
	*) args=(CROSS_COMPILE="$tools") cc=${cc%gcc}${tools}gcc ;;
	esac
	# W=1 runs python3 for every file, and one of pyenv is a shell script that runs others
	args+=(CC="$cc" HOSTCC="$hostcc" PYTHON3=/usr/bin/python3)
	kbuild=(make -C "$src" O="$obj" ARCH="$arch" "${args[@]}" -j"${J:-$(nproc)}")
	mkdir -p "$obj"
	[ "$(cat "$obj/configured" 2>&1)" != "$(config_key "$key")" ] || return 0
	rm -f "$obj/configured"
	known=$(git -C "$src" grep -hE '^(menu)?config [A-Z0-9_]+' -- '*Kconfig*' | awk '{ print $2 }')
	for option; do
		grep -qxF "${option%%=*}" <<<"$known" || continue
		case $option in
		*=n) echo "# CONFIG_${option%=n} is not set" ;;
		*) echo "CONFIG_$option" ;;
		esac
	done >"$wanted"
	case $config in
	kunit) set -- kunit_config "$arch" ;;
	*.config)
		set -- env KCONFIG_ALLCONFIG="$root/configs/$config" "${kbuild[@]}" -s allnoconfig
		grep ^CONFIG_ "$root/configs/$config" >>"$wanted"
		;;
	*) set -- "${kbuild[@]}" -s "$config" ;;
	esac
	if ! (set -e && "$@" && cat "$wanted" >>"$obj/.config" && "${kbuild[@]}" -s olddefconfig) >"$log" 2>&1; then
		tail -n 5 "$log"
		return 1
	fi
	if grep -A 5 'unmet direct' "$log"; then return 1; fi
	# an option that is off is in .config only if it could be on
	if awk 'FNR == NR { has[$0]; next } /^#/ { if ($2 "=y" in has || $2 "=m" in has) { print; bad = 1 } next }
		!($0 in has) { print; bad = 1 } END { exit !bad }' "$obj/.config" "$wanted"; then
		echo "Kconfig does not keep what was asked for"
		return 1
	fi
	config_key "$key" >"$obj/configured"
}

# messages LOG: the warnings and errors in it, each after the file it is about, with names from the top of the tree:
# of the compiler and sparse, of kernel-doc, of objtool, of make. (A sparse that does not know __typeof_unqual__
# takes every MODULE_LICENSE() for a bad constant expression, which gcc checks anyway.)
messages() {
	sed -nE "/bad constant expression/d
		s#^make.*\*\*\* \[(.*: )?([^]]*)\] (.*)#\2: make: \3#p; t
		s#^make.*\*\*\* No rule to make target '([^']*)'.*#\1: make: no rule#p; t
		s#^(Warning|Error): #&#; s#^(Warning|Error): ([^ :]+:[0-9]+) #\2: warning: #
		s#^($src/|(\.\./)*(src|linux)/)##
		/^[^ :]+:[0-9]+:([0-9]+:)? (fatal )?(warning|error)/p; /: (warning|error): objtool/p; /error: /p" "$1" | sort -u
}

# more BEFORE AFTER: the messages about files that have more of them than before; fails if there are.
more() {
	awk -F: '
		FILENAME == ARGV[1] { had[$1]++; next }
		{ has[$1]++; text[$1] = text[$1] $0 "\n" }
		END {
			for (file in has)
				if (has[file] > had[file]) {
					printf "%s: %d messages, %d before\n%s", file, has[file], had[file], text[file]
					bad = 1
				}
			exit bad
		}' "$1" "$2"
}

sparse=() # what has make check with sparse, too

# compile OUT TARGET...: makes objects and directories (DIR/) anew in $obj, for what is not compiled again says nothing
# again. Messages go to OUT, the whole output to OUT.log. Sets compiled, the number of objects.
compile() {
	local out=$1 target
	shift
	(cd "$obj" && for target; do
		[ ! -e "$target" ] || find "$target" -name '*.o' -delete
		[[ $target != arch/*/kvm/ ]] || rm -f virt/kvm/*.o
	done)
	"${kbuild[@]}" -k W=1 "${sparse[@]}" "$@" >"$out.log" 2>&1 || echo "make: *** [all of it] failed" >>"$out.log"
	{
		messages "$out.log"
		for target; do
			case $target in *.o) [ -f "$obj/$target" ] || echo "$target: was not made" ;; esac
		done
	} >"$out"
	if grep 'specified, but' "$out.log"; then return 1; fi # a checker that is not there
	compiled=$(cd "$obj" && for target; do [ ! -e "$target" ] || find "$target" -name '*.o'; done | wc -l)
}

# again OUT TARGET...: the objects that say the messages in OUT; all targets, if one is about something else
again() {
	local file object target out=$1 objects=()
	shift
	while IFS=: read -r file _; do
		object=
		for target; do
			case ${file%.*}.o in "$target"*) object=${file%.*}.o ;; esac
		done
		if [ -z "$object" ] || { [ ! -f "$obj/$object" ] && [[ $file != *.o ]]; }; then
			printf '%s\n' "$@"
			return
		fi
		objects+=("$object")
	done <"$out"
	printf '%s\n' "${objects[@]}" | sort -u
}

# judge COMMIT OUT TARGETS OBJ ARCH TOOLS CONFIG [OPTION ...]: compiles at COMMIT what the function TARGETS lists. If there
# are messages (in OUT), what has them is compiled at the base, too (OUT.base), and more than there are fail.
judge() {
	local commit=$1 out=$2 list=$3 targets total
	shift 3
	worktree "$B/work/linux" "$commit"
	configure "$@"
	targets=$("$list")
	[ -n "$targets" ] || return 0
	mapfile -t targets <<<"$targets"
	compile "$out" "${targets[@]}"
	total=$compiled
	if [ -s "$out" ]; then
		mapfile -t targets < <(again "$out" "${targets[@]}")
		worktree "$B/work/linux" base
		configure "$@"
		compile "$out.base" "${targets[@]}"
		more "$out.base" "$out"
		sed -n 's/: was not made/ is not compiled here, nor at the base/p' "$out"
	fi
	echo "$total objects"
	[ "$total" != 0 ]
}

# objects_of: of the files on stdin, the objects of this arch, if they are in $src
objects_of() {
	awk -v own="arch/${arch/%x86_64/x86}/" '!/^(tools|scripts|samples|Documentation)\// && (!/^arch\// || index($0, own) == 1)' |
		while read -r file; do [ ! -f "$src/$file" ] || echo "${file%c}o"; done
}

# touched [COMMIT]: what the series touches, up to a commit if there is one. (nouveau compiles with its own driver only,
# which is a row of configs/matrix.)
touched() {
	git -C "$tree" diff --no-renames --diff-filter=d --name-only base "${1:-series}" -- '*.c' ':!drivers/gpu/drm/nouveau' | objects_of
}

# try N M GROUP NAME COMMAND...: a step that is a test of the record: a shell of its own, in which set -e holds. What it said
# is in $out/NAME.out, shown if it failed, and its last line if not. Counts in failed.
failed=()
try() {
	local group=$3 name=$4 log=$out/${4//\//_}.out rc reason said
	step "$1" "$2" "$4"
	shift 4
	set +e
	(set -e && "$@") >"$log" 2>&1
	rc=$?
	set -e
	if [ $rc = 0 ]; then
		said=$(tail -n 1 "$log")
		printf 'ok %s' "${said:+$said }"
		stepped
		result test "$group" "$name" pass $((SECONDS - stepstart)) ''
	else
		printf 'FAILED '
		stepped
		cat "$log"
		failed+=("$name")
		reason=$(awk 'NF { gsub("\t", " "); print; exit }' "$log")
		result test "$group" "$name" fail $((SECONDS - stepstart)) "$reason"
	fi
}
