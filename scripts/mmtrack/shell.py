# SPDX-License-Identifier: GPL-2.0
"""make shell: the series' kernel (DEBUG=1: the one of kunit-debug) with a shell, the suites to be run by
echo 1 >/sys/kernel/debug/kunit/SUITE/run, and the selftests' programs in /tests. make gdb (--gdb): the same, stopped."""
import os

from mmtrack import guest, kunit, record, selftests


def main(argv):
    gdb = '--gdb' in argv
    name = 'x86_64' + ('-gdb' if gdb else '-debug' if os.environ.get('DEBUG') else '')
    obj, out = os.path.join(record.build(), name), os.path.join(record.build(), 'selftests', 'series')
    os.makedirs(out, exist_ok=True)
    kunit.build_or_end(1, 2, 'shell', name, f'{out}/{name}.build')
    with guest.step(2, 2, 'build the programs'):
        names = {command.split()[0] for _, command in selftests.programs(kunit.tree())}
        files = selftests.build_programs(kunit.tree(), obj, out, names, f'{out}/programs.build')
        boxed, links = guest.busybox()
        initrd = guest.initramfs(f'{out}/shell.cpio', obj, {**selftests.build_init(out), **files, **boxed}, links)
    args = [*selftests.ARGS, *selftests.COHERENT['x86_64'], 'kunit.enable=1', 'kunit.autorun=0', 'shell']
    print('The shell is in /tests. It ends with exit, or C-a x.')
    if gdb:
        print(f"It waits for gdb. In another terminal: gdb -ex 'target remote :1234' {obj}/vmlinux")
    return guest.Guest(name, obj, args, initrd=initrd, cpus=3, memory=4096, stopped=gdb).interact()
