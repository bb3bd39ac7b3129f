#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Prints a directory with include/ and lib/: what the tree's mm selftests link for another architecture (arm64), libnuma and
# liburing. They come from the Debian mirror of this machine, which apt verifies, and are installed nowhere: as packages of
# another architecture they would take libc with them, and upgrade the machine's own to the same version.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

arch=$1
at=${XDG_CACHE_HOME:-$HOME/.cache}/mm-track/libs-$arch
packages=(libnuma-dev liburing-dev)

if [ -f "$at/complete" ]; then
	echo "$at"
	exit 0
fi
by_hand="or put numa.h, liburing.h and the static libraries for $arch into $at/include and lib, and touch $at/complete"
command -v apt-get >/dev/null || die "no apt-get here to fetch ${packages[*]} for $arch: do that on Debian, $by_hand"
echo "fetching ${packages[*]} for $arch" >&2
mkdir -p "${at%/*}"
tmp=$(mktemp -d "$at.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$tmp/got/include" "$tmp/got/lib"
: >"$tmp/state/status"

private_apt() {
	apt-get -qq -o Dir::State="$tmp/state" -o Dir::State::status="$tmp/state/status" -o Dir::Cache="$tmp/cache" \
		-o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none \
		-o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}

if ! (cd "$tmp" && private_apt update && private_apt download "${packages[@]}") >"$tmp/log" 2>&1; then
	cat "$tmp/log" >&2
	die "the Debian mirror does not give ${packages[*]} for $arch: go online, $by_hand"
fi
for deb in "$tmp"/*.deb; do
	dpkg-deb -x "$deb" "$tmp/all"
done
cp -r "$tmp/all/usr/include/." "$tmp/got/include"
cp "$tmp"/all/usr/lib/*/*.a "$tmp/got/lib"
touch "$tmp/got/complete"
rm -rf "$at"
mv "$tmp/got" "$at"
echo "$at"
