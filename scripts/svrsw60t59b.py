#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""svrsw60t59b.py IN OUT: a device tree whose riscv CPUs have Svrsw60t59b too, bits 59 and 60 of a PTE for software.

QEMU 7.2 does not know it, but with -cpu rv64,svnapot=true it ignores both bits. IN is what -machine virt,dumpdtb=IN
writes with the same -cpu, -smp and -m; boot with -dtb OUT, and riscv_isa_fallback on the kernel's command line.
"""
import struct
import sys

BEGIN_NODE, PROP, END = 1, 3, 9


def padded(data):
    return data + bytes(-len(data) % 4)


def main(source, target):
    with open(source, 'rb') as f:
        blob = f.read()
    magic, _, at, names_at, reserved_at, *rest, names_len, length = struct.unpack('>10I', blob[:40])
    tree, names = blob[at : at + length], blob[names_at : names_at + names_len]
    out, i, token, cpus = b'', 0, 0, 0
    while token != END:
        token, start = struct.unpack_from('>I', tree, i)[0], i
        i += 4
        if token == BEGIN_NODE:
            i += len(padded(tree[i : tree.index(0, i) + 1]))
        elif token == PROP:
            size, name = struct.unpack_from('>2I', tree, i)
            value, i = tree[i + 8 : i + 8 + size], i + 8 + len(padded(bytes(size)))
            if names[name : names.index(0, name)] == b'riscv,isa':
                value = value.rstrip(b'\0') + b'_svrsw60t59b\0'
                cpus += 1
            out += struct.pack('>3I', PROP, len(value), name) + padded(value)
            continue
        out += tree[start:i]
    end = 56 + len(out)
    header = struct.pack('>10I', magic, end + len(names), 56, end, 40, *rest, len(names), len(out))
    with open(target, 'wb') as f:
        f.write(header + blob[reserved_at : reserved_at + 16] + out + names)
    return 0 if cpus else f'{source}: no CPU says riscv,isa'


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
