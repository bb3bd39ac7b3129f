#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# Checks that the tools for the jobs named (none: those of make check) are there. What is missing is installed on Debian
# as root, and named for Debian, Fedora or Arch otherwise. DEPS=no leaves it out.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

[ "${DEPS:-}" != no ] || exit 0
[ $# != 0 ] || set -- tree um x86_64 arm64 i386 selftests lint mail matrix-check selfcheck tools
if command -v apt-get >/dev/null; then
	install='apt-get install' column=2
elif command -v dnf >/dev/null; then
	install='dnf install' column=3
elif command -v pacman >/dev/null; then
	install='pacman -S' column=4
else
	install='Debian calls them' column=2
fi

# $1 is a command, or a file if it begins with /, or a module as py:name
there() {
	case $1 in
	py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
	/*) compgen -G "$1" >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# What it is, its package in Debian, Fedora and Arch ("-": none is known), the jobs that need it. "kernel" is all that compile.
missing=()
while read -r tool debian fedora arch jobs; do
	jobs=" ${jobs/kernel/um x86_64 i386 arm64 riscv64 selftests lint} "
	for job; do
		case $jobs in *" $job "*) ;; *) continue ;; esac
		there "$tool" || missing+=("$tool $debian $fedora $arch")
		break
	done
done <<'END'
make                        make                    make                    make                     tree
git                         git                     git-core                git                      tree
/etc/ssl/certs/ca-*         ca-certificates         ca-certificates         ca-certificates          tree
curl                        curl                    curl                    curl                     tree
xz                          xz-utils                xz                      xz                       tree
awk                         gawk                    gawk                    gawk                     tree
flock                       util-linux              util-linux              util-linux               tree
/usr/bin/python3            python3                 python3                 python                   tree
bc                          bc                      bc                      bc                       kernel
bison                       bison                   bison                   bison                    kernel
flex                        flex                    flex                    flex                     kernel
gcc                         gcc                     gcc                     gcc                      kernel
/usr/include/stdio.h        libc6-dev               glibc-devel             glibc                    kernel
/usr/include/libelf.h       libelf-dev              elfutils-libelf-devel   libelf                   kernel
perl                        perl                    perl-interpreter        perl                     kernel
ccache                      ccache                  ccache                  ccache                   kernel
qemu-system-x86_64          qemu-system-x86         qemu-system-x86-core    qemu-system-x86          x86_64 i386 selftests
/usr/share/qemu/qboot.rom   qemu-system-data        qemu-system-x86-core    qemu-system-x86-firmware x86_64 selftests
qemu-system-aarch64         qemu-system-arm         qemu-system-aarch64-core qemu-system-aarch64     arm64
qemu-system-riscv64         qemu-system-misc        qemu-system-riscv-core  qemu-system-riscv        riscv64
/usr/include/sys/capability.h libcap-dev            libcap-devel            libcap                   selftests
/usr/include/numa.h         libnuma-dev             numactl-devel           numactl                  selftests
/usr/include/liburing.h     liburing-dev            liburing-devel          liburing                 selftests
b4                          b4                      b4                      b4                       mail
py:yaml                     python3-yaml            python3-pyyaml          python-yaml              mail lint mutants bench selfcheck
py:jsonschema               python3-jsonschema      python3-jsonschema      python-jsonschema        mail lint selfcheck
py:pytest                   python3-pytest          python3-pytest          python-pytest            mail selfcheck
py:xdist                    python3-pytest-xdist    python3-pytest-xdist    python-pytest-xdist      mail selfcheck
py:ply                      python3-ply             python3-ply             python-ply               lint
py:git                      python3-git             python3-GitPython       python-gitpython         lint
codespell                   codespell               codespell               codespell                lint
pyflakes3                   pyflakes3               python3-pyflakes        python-pyflakes          lint
shellcheck                  shellcheck              ShellCheck              shellcheck               lint selfcheck
shfmt                       shfmt                   shfmt                   shfmt                    lint
black                       black                   black                   python-black             lint
sparse                      sparse                  sparse                  sparse                   lint
objdump                     binutils                binutils                binutils                 lint
aarch64-linux-gnu-gcc       gcc-aarch64-linux-gnu   gcc-aarch64-linux-gnu   aarch64-linux-gnu-gcc    matrix matrix-check arm64
/usr/aarch64-linux-gnu/*/libc.a libc6-dev-arm64-cross -                     aarch64-linux-gnu-glibc  selftests-arm64
riscv64-linux-gnu-gcc       gcc-riscv64-linux-gnu   gcc-riscv64-linux-gnu   riscv64-linux-gnu-gcc    matrix riscv64
arm-linux-gnueabihf-gcc     gcc-arm-linux-gnueabihf -                       -                        matrix
clang-19                    clang-19                clang19                 clang19                  matrix
llvm-ar-19                  llvm-19                 llvm19                  llvm19                   matrix
ld.lld-19                   lld-19                  lld19                   -                        matrix
/usr/include/urcu.h         liburcu-dev             userspace-rcu-devel     liburcu                  tools
busybox                     busybox-static          busybox                 busybox                  selftests coverage
pgrep                       procps                  procps-ng               procps-ng                selfcheck
stress-ng                   stress-ng               stress-ng               stress-ng                programs
setsid                      util-linux              util-linux              util-linux               programs
ld                          binutils                binutils                binutils                 programs
py:matplotlib               python3-matplotlib      python3-matplotlib      python-matplotlib        bench
END

[ ${#missing[@]} != 0 ] || exit 0
mapfile -t packages < <(printf '%s\n' "${missing[@]}" | awk -v c=$column '{ print $c == "-" ? $1 "(no package)" : $c }' | sort -u)
if [ "$(id -u)" = 0 ] && [ "$install" = 'apt-get install' ]; then
	echo "installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	if { apt-get -qq update && apt-get -qq install --no-install-recommends "${packages[@]}"; } >/dev/null; then exit 0; fi
fi
die "packages are missing: $install ${packages[*]} (DEPS=no goes on without them)"
