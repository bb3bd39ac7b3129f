#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Prints the path of a verified source package for BASE= (a name of configs/bases): from the cache, else Debian's .deb
# from the mirror that this machine uses. Without BASE= it takes another one if it must, and says so: what the mirror has
# now, else kernel.org's tarball, whose checksum comes from the https page beside it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

base=${BASE:-$(default_base)}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mm-track/$base
kernel_org=${KERNEL_ORG:-https://www.kernel.org/pub/linux/kernel}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
way_out="or use a git tree of yours: LINUX=/path"

read -r _ package version suite sum _ < <(awk -v b="$base" '$1 == b' "$root/configs/bases") ||
	die "BASE=$base is not known: choose one of $(awk '!/^#/ { printf "%s ", $1 }' "$root/configs/bases")"
pinned=$cache/${package}_${version}_all.deb
series=${package#linux-source-}

verified() {
	echo "$2  $1" | sha256sum --check --status 2>/dev/null
}

# A file of the cache is used only if it is what it was: $1 is removed otherwise.
cached() {
	local want=$sum
	[ -f "$1" ] || return 1
	[ "$1" = "$pinned" ] || want=$(cat "$1.sha256")
	if verified "$1" "$want"; then
		echo "$1"
		return 0
	fi
	echo "$1 is damaged: fetching it again" >&2
	rm -f "$1"
	return 1
}

# other WHAT FILE: only FILE is to be had; prints it if it is in the cache, and fails if it has to be fetched
other() {
	[ -z "${BASE:-}" ] || die "BASE=$base is not to be had here: $1. Leave BASE= out to take that, $way_out"
	echo "$1: taking that for $base" >&2
	if cached "$cache/$2"; then exit 0; fi
}

private_apt() {
	local verb=$1
	shift
	"$verb" -qq -o Dir::State="$tmp/state" -o Dir::State::status="$tmp/state/status" -o Dir::Cache="$tmp/cache" \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none \
		-o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}

# The site of this machine's Debian mirror; nothing if it has none.
debian_site() {
	[ -f "$keyring" ] && command -v apt-get >/dev/null || return 0
	# shellcheck disable=SC2016 # apt's own placeholders
	site() { "$@" indextargets --format '$(SITE) $(LABEL)' | awk '$2 == "Debian" && !seen++ { print $1 }'; }
	local found
	found=$(site apt-get)
	if [ -z "$found" ] && private_apt apt-get update >"$tmp/log" 2>&1; then
		found=$(site private_apt apt-get)
	fi
	echo "$found"
}

# Leaves $tmp/*.deb and sets $sum; what the index of the mirror says is signed.
from_debian() {
	local own=(-o Dir::Etc::sourcelist="$tmp/sources.list" -o Dir::Etc::sourceparts=/dev/null) known newest
	echo "deb [signed-by=$keyring] $1 $suite main" >"$tmp/sources.list"
	private_apt apt-get "${own[@]}" -o APT::Update::Error-Mode=any update >"$tmp/log" 2>&1 || return 1
	known=$(private_apt apt-cache "${own[@]}" show "$package" 2>"$tmp/log" |
		awk '/^Version:/ { v = $2 } /^SHA256:/ { print v, $2 }')
	if ! grep -qF "$version " <<<"$known"; then
		newest=$(awk -v p="$series" 'index($1, p ".") == 1 || index($1, p "~") == 1 || index($1, p "-") == 1' <<<"$known" |
			sort -V | tail -n 1)
		if [ -z "$newest" ]; then
			why="the Debian mirror has no $package any more, but $(private_apt apt-cache "${own[@]}" search --names-only '^linux-source-[0-9.]+$' | awk '{ printf "%s ", $1 }')"
			from_kernel_org
			return
		fi
		read -r version sum <<<"$newest"
		other "the Debian mirror has $package $version now" "${package}_${version}_all.deb"
	fi
	(cd "$tmp" && private_apt apt-get "${own[@]}" download "$package=$version") >"$tmp/log" 2>&1
}

from_kernel_org() {
	local dir part file
	dir=$kernel_org/v${series%%.*}.x
	case $base in *~*) die "BASE=$base comes only from a Debian mirror, and none answers: go online, $way_out" ;; esac
	read -r sum file < <(curl -fsL --retry 2 "$dir/sha256sums.asc" |
		awk -v a="linux-$base.tar.xz" -v b="linux-$series.tar.xz" '$2 == a || ($2 == b && !f) { s = $1; f = $2 } END { print s, f }') || return 1
	[ -n "$file" ] || return 1
	other "$why, and kernel.org has $file" "$file"
	part=$cache/$file.part
	if ! verified "$part" "$sum"; then
		curl -fsSL --retry 2 -C - -o "$part" "$dir/$file" || {
			rm -f "$part" # it may be what cannot be resumed
			curl -fsSL --retry 2 -o "$part" "$dir/$file" || return 1
		}
	fi
	mv "$part" "$tmp/$file"
}

if cached "$pinned"; then exit 0; fi
echo "fetching $package for BASE=$base" >&2
mkdir -p "$cache"
find "$cache" -maxdepth 1 -name 'fetch.*' -mmin +60 -exec rm -rf {} +
tmp=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial"
: >"$tmp/state/status"

site=$(debian_site)
why='there is no Debian mirror here'
[ -z "$site" ] || why='the Debian mirror does not answer'
if ! if [ -n "$site" ]; then from_debian "$site"; else from_kernel_org; fi; then
	for file in "$cache"/*.deb "$cache"/*.tar.xz; do
		if [ -f "$file" ]; then other "$why, and the cache has ${file##*/}" "${file##*/}"; fi
	done
	die "$why, nor an answer of kernel.org, and the cache has no $package for $base: go online, $way_out"
fi
got=$(find "$tmp" -maxdepth 1 -name '*.deb' -o -maxdepth 1 -name '*.tar.xz')
verified "$got" "$sum" || die "what was fetched for BASE=$base has the wrong checksum: try again, $way_out"
file=$cache/${got##*/}
echo "$sum" >"$file.sha256"
mv "$got" "$file"
echo "$file"
