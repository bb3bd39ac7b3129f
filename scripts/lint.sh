#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Reads the scripts and the series; compiles nothing. All steps (or those named) run, each that fails is followed by what
# mends it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/build.sh"

patches=$root/patches
declare -A mend=(
	[shell]="fix the script at the line named; shfmt -w lays it out"
	[python]="fix the script at the line named; black -q -S -l 120 lays it out"
	[b4_yaml]="fix b4.yaml"
	[series]="make refresh; a patch that the branch does not have goes there with git am, or elsewhere"
	[message]="indent the lines in the commit's message, make refresh"
	[checkpatch]="amend the commit in build/linux, make refresh; a type that is wrong here goes into configs/checkpatch-ignore"
	[kernel_doc]="fix the comment in the commit that adds it"
	[maintainers]="fix MAINTAINERS in the series, and make MAINTAINERS.snippet the same"
	[kunit_tool]="fix tools/testing/kunit in the commit that broke it"
)

# sources NAME...: the workbench's files with such a name
sources() {
	local name args=(-name "$1")
	for name in "${@:2}"; do args+=(-o -name "$name"); done
	find "$root" -path "$B" -prune -o -name build -prune -o -path '*/.git' -prune -o -type f \( "${args[@]}" \) -print0
}

# each COMMAND...: for each line of stdin, as many at a time as there are CPUs
each() {
	xargs -r -d '\n' -n 1 -P "${J:-$(nproc)}" "$@"
}

shell() {
	cd "$root/scripts"
	sources '*.sh' run | xargs -r -0 -n 3 -P "${J:-$(nproc)}" shellcheck
	sources '*.sh' run | xargs -r -0 shfmt -d
}

python() {
	sources '*.py' | xargs -r -0 pyflakes3
	sources '*.py' | xargs -r -0 black -q -S -l 120 --diff --check
}

series() {
	local there
	there=$(cd "$patches" 2>/dev/null && find . -maxdepth 1 -name '*.patch' -printf '%f\n' | sort) || there=
	diff -u --label patches/series --label "the files in patches/" <(series_names "$patches" | sort) <([ -z "$there" ] || echo "$there")
	if [ "$(series_sums "$patches")" != "$(recorded_sums)" ] || [ "$(git -C "$tree" rev-parse series)" != "$(recorded_head)" ]; then
		echo "patches/ is not what the branch series of $tree holds"
		return 1
	fi
}

# git am takes the message to end, and the patch to begin, at a line with --- or that begins a diff.
message() {
	local name rc=0
	while read -r name; do
		awk -v name="$name" '!body { body = /^$/; next }
			/^---[[:space:]]*$/ && !cut { cut = NR; next }
			/^diff --git / && stat { exit bad }
			/^(diff -|Index: |--- |---[[:space:]]*$)/ || (cut && !stat && !/\||^ [0-9]+ files? changed|^$/) {
				print name ":" (cut ? cut : NR) ": ends the message for git am, and is no end of it"; bad = 1; exit bad }
			/^ [0-9]+ files? changed/ { stat = cut }
			END { exit bad }' "$patches/$name" || rc=1
	done < <(series_names "$patches")
	return $rc
}

# One patch; its messages in one piece, the patches are checked at the same time.
checkpatch_one() {
	local ignore out
	PATH=/usr/bin:$PATH # its python3 must be Debian's, which sees codespell, ply and git
	ignore=$(awk 'NR == FNR { if (/^\+\+\+ b\//) touched = touched " " substr($2, 3); next }
		!/^#/ && NF && (split($1, type, "@") == 1 || index(touched, " " type[2])) { printf "%s%s", sep, type[1]; sep = "," }' \
		"$patches/$1" "$root/configs/checkpatch-ignore")
	if ! out=$(cd "$tree" && perl scripts/checkpatch.pl --strict --no-summary --show-types --quiet --codespell \
		${ignore:+--ignore "$ignore"} "$patches/$1" 2>&1); then
		printf '%s\n^^ %s\n' "$out" "$1"
		return 1
	fi
}

# the largest first, so that none is left for the end
checkpatch() {
	(cd "$patches" && series_names . | xargs -r ls -S) | each "$root/scripts/lint.sh" --step checkpatch_one
}

added() {
	git -C "$tree" diff --no-renames --diff-filter=A --name-only base series -- "$@"
}

kernel_doc() {
	cd "$tree"
	added '*.c' '*.h' | xargs -r /usr/bin/python3 scripts/kernel-doc -none -Wall -Werror
}

has_section() {
	perl scripts/get_maintainer.pl --sections -f "$1" | awk '/^F:/ && !/[[:space:]]\*\/?$/ { found = 1 } END { exit !found }' ||
		{
			echo "no section of MAINTAINERS has $1"
			return 1
		}
}

# The snippet is what the series adds, what it names is there, get_maintainer.pl has nothing to say of it (its other
# self-test, of patterns, reads the whole tree for minutes), and every new file has more maintainers than "THE REST".
maintainers() {
	local snippet=$root/MAINTAINERS.snippet title file rc=0
	if [ ! -f "$snippet" ]; then
		title=$(git -C "$tree" diff base series -- MAINTAINERS | awk '/^\+[A-Z][^:]*$/ && !t { t = $0 } END { print t }')
		[ -n "$title" ] || return 0
		echo "the series adds the section \"${title#+}\", there is no MAINTAINERS.snippet"
		return 1
	fi
	title=$(head -n 1 "$snippet")
	diff -u --label MAINTAINERS.snippet --label "MAINTAINERS of the series" "$snippet" \
		<(git -C "$tree" show series:MAINTAINERS | awk -v t="$title" '$0 == t { on = 1 } on && !NF { exit } on') || rc=1
	cd "$tree"
	while read -r file; do
		[ -e "$file" ] || { echo "MAINTAINERS.snippet: there is no $file" && rc=1; }
	done < <(sed -n 's/^F:[[:space:]]*//p' "$snippet")
	[ -f scripts/get_maintainer.pl ] || return $rc
	if perl scripts/get_maintainer.pl --self-test=sections 2>&1 | grep -F "$title"; then rc=1; fi
	added . | each "$root/scripts/lint.sh" --step has_section || rc=1
	return $rc
}

# The tests of kunit.py itself, which the series changes.
kunit_tool() {
	cd "$tree"
	[ ! -f tools/testing/kunit/kunit_tool_test.py ] || /usr/bin/python3 tools/testing/kunit/kunit_tool_test.py
}

# Its schema, and that it has the lists that get_maintainer.pl names, of the series and of each topic.
b4_yaml() {
	local names of rc=0
	export PYTHONPATH=$root/scripts
	/usr/bin/python3 -m mmtrack mail check
	[ -f "$tree/scripts/get_maintainer.pl" ] || return 0
	while read -r of; do
		export TOPIC=${of#all}
		mapfile -t names < <(/usr/bin/python3 -m mmtrack mail patches | awk NF)
		[ ${#names[@]} != 0 ] || continue
		diff -u --label "b4.yaml${TOPIC:+, $TOPIC}" --label get_maintainer.pl <(/usr/bin/python3 -m mmtrack mail lists | sort -u) \
			<(cd "$tree" && printf '%s\0' "${names[@]/#/$patches/}" | xargs -0 -n 12 -P "${J:-$(nproc)}" \
				perl scripts/get_maintainer.pl --nom --nor --nofixes --nogit --nogit-fallback --norolestats | sort -u) || rc=1
	done < <(echo all && /usr/bin/python3 -m mmtrack topics names)
	return $rc
}

if [ "${1:-}" = --step ]; then
	[ "$2" != has_section ] || cd "$tree"
	"${@:2}"
	exit
fi
steps=(shell python b4_yaml series message checkpatch kernel_doc maintainers kunit_tool)
[ $# = 0 ] || steps=("$@")
for name in "${steps[@]}"; do
	[ -n "${mend[$name]:-}" ] || die "lint: no step is called $name: choose of ${!mend[*]}"
done
need_tree
out=${MMTRACK_OUT:-$B/results/lint}
mkdir -p "$out"
n=0
for name in "${steps[@]}"; do
	n=$((n + 1))
	try $n ${#steps[@]} lint "$name" "$name"
done
for name in "${failed[@]}"; do
	echo "lint: $name failed; to mend it: ${mend[$name]}" >&2
done
[ ${#failed[@]} = 0 ]
