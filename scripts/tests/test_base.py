# SPDX-License-Identifier: GPL-2.0
"""scripts/fetch-base.sh, and what tree.sh calls what came: no network, a damaged file, kernel.org and a Debian mirror of this machine."""
import functools
import hashlib
import http.server
import os
import subprocess
import threading

import pytest

APT = '#!/bin/sh\nexit 0\n'  # of a machine that knows no Debian mirror


def default_of(bench):
    """The first line of configs/bases: (name, package, version, suite, sum, tree)."""
    return next(x.split() for x in bench.read('configs/bases').splitlines() if x[:1] not in '#')


def cache_of(bench, *names):
    return os.path.join(bench.env['XDG_CACHE_HOME'], 'mm-track', default_of(bench)[0], *names)


def deb_of(bench):
    _, package, version, *_ = default_of(bench)
    return cache_of(bench, f'{package}_{version}_all.deb')


def sum_of_file(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


@pytest.fixture
def offline(bench, tmp_path):
    """No machine can be reached."""
    bench.write(
        'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9"; Acquire::Retries "0";',
        tmp_path,
        'apt.conf',
    )
    nobody = 'http://127.0.0.1:9'
    bench.env.update(APT_CONFIG=str(tmp_path / 'apt.conf'), http_proxy=nobody, https_proxy=nobody, no_proxy='')
    return bench


@pytest.fixture(scope='session')
def tarball(fake_kernel, tmp_path_factory):
    path = str(tmp_path_factory.mktemp('tar') / 'linux-7.3.tar.xz')
    transform = ['--transform', 's,^\\.,linux-7.3,', '--sort=name', '--exclude=.git']
    subprocess.run(['tar', '-cJf', path, *transform, '-C', fake_kernel, '.'], check=True)
    return path


@pytest.fixture
def kernel_org(bench, tarball, tmp_path):
    """No Debian mirror is known, and kernel.org is this machine."""
    bench.program('apt-get', APT)
    top = str(tmp_path / 'www')
    folder = f'{top}/v7.x'
    os.makedirs(folder)
    subprocess.run(['cp', tarball, folder], check=True)
    bench.write(f'{sum_of_file(tarball)}  linux-7.3.tar.xz\n', folder, 'sha256sums.asc')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=top))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench.env.update(KERNEL_ORG=f'http://127.0.0.1:{server.server_port}', no_proxy='127.0.0.1')
    bench.env.pop('http_proxy', None)
    bench.www = folder
    yield bench
    server.shutdown()


def pin(bench, **fields):
    """Changes fields of the first line of configs/bases."""
    old = default_of(bench)
    names = ('name', 'package', 'version', 'suite', 'sum', 'tree')
    new = [fields.get(name, value) for name, value in zip(names, old)]
    text = bench.read('configs/bases')
    line = next(x for x in text.splitlines() if x.split()[:1] == old[:1])
    bench.write(text.replace(line, '  '.join(new)), 'configs/bases')


def test_bases_are_pinned(bench):
    """A sum and a tree each; the version number of the default stands in no other file of the scripts."""
    for line in bench.read('configs/bases').splitlines():
        if not line.startswith('#'):
            _, package, version, suite, total, tree = line.split()
            assert package.startswith('linux-source-') and version and suite and len(total) == 64
            assert len(tree) == 40 or tree == '-'
    name = default_of(bench)[0]
    found = subprocess.run(
        ['grep', '-rlF', name, 'scripts', 'Makefile', 'b4.yaml'], cwd=bench.root, capture_output=True, text=True
    )
    assert found.stdout == ''


def test_no_network_and_no_cache(offline):
    offline.run('scripts/tree.sh').says_one_line('LINUX=/path')


def test_damaged_file_of_the_cache(offline):
    deb = deb_of(offline)
    offline.write('half of it', deb)
    assert 'is damaged' in offline.run('scripts/fetch-base.sh').says('go online').out
    assert not os.path.exists(deb)


def test_no_network_but_the_cache(offline):
    deb = deb_of(offline)
    offline.write('a package', deb)
    pin(offline, sum=sum_of_file(deb))
    assert offline.run('scripts/fetch-base.sh').ok().out == deb + '\n'


def test_kernel_org_is_called_what_it_is(kernel_org):
    """Without BASE=, what there is; its name is not that of the pinned base, and the second time it comes from the cache."""
    name = default_of(kernel_org)[0]
    out = kernel_org.run('scripts/tree.sh').ok().out
    assert 'kernel.org has linux-7.3.tar.xz: taking that' in out
    assert f'this is Linux 7.3 from kernel.org, not {name}' in out
    assert kernel_org.git('log', '-1', '--format=%s', 'base') == 'Linux 7.3 from kernel.org'
    assert kernel_org.git('config', 'mmtrack.base') == 'Linux 7.3 from kernel.org'
    kernel_org.run('scripts/tree.sh', BASE=name).says_one_line(f'is on base "Linux 7.3 from kernel.org", not "{name}"')
    kernel_org.run('scripts/tree.sh').ok()
    os.remove(f'{kernel_org.www}/linux-7.3.tar.xz')
    assert kernel_org.run('scripts/fetch-base.sh').ok().out.endswith(cache_of(kernel_org, 'linux-7.3.tar.xz') + '\n')


def test_kernel_org_never_passes_for_the_base(kernel_org):
    """With BASE=, one code or none."""
    name = default_of(kernel_org)[0]
    kernel_org.run('scripts/tree.sh', BASE=name).says_one_line('kernel.org has linux-7.3.tar.xz. Leave BASE= out')
    assert not os.path.exists(kernel_org.linux)


def test_other_tree_never_passes_for_the_base(kernel_org, tarball):
    """Not even what has the right name and sum."""
    deb = deb_of(kernel_org).replace('.deb', '.tar.xz')
    kernel_org.edit('_all.deb', '_all.tar.xz', 'scripts/fetch-base.sh')
    os.makedirs(os.path.dirname(deb))
    subprocess.run(['cp', tarball, deb], check=True)
    pin(kernel_org, sum=sum_of_file(tarball))
    name = default_of(kernel_org)[0]
    kernel_org.run('scripts/tree.sh', BASE=name).says('which is not the one of configs/bases')
    assert not os.path.exists(kernel_org.linux)


def test_the_pinned_tree_is_the_base(kernel_org, fake):
    """From wherever it comes."""
    name = default_of(kernel_org)[0]
    pin(kernel_org, tree=kernel_org.git('rev-parse', 'v7.3^{tree}', at=fake))
    kernel_org.run('scripts/tree.sh').ok()
    assert kernel_org.git('config', 'mmtrack.base') == name
    kernel_org.run('scripts/tree.sh', BASE=name).ok()
    kernel_org.run('scripts/tree.sh', LINUX=fake, B='build/user').ok()
    assert kernel_org.git('config', 'mmtrack.base', at=kernel_org.path('build/user/linux')) == name


def test_unpinned_base_says_so(kernel_org, fake):
    pin(kernel_org, tree='-')
    tree = kernel_org.git('rev-parse', 'v7.3^{tree}', at=fake)
    assert (
        f'does not pin the tree of {default_of(kernel_org)[0]}: here it is {tree}'
        in kernel_org.run('scripts/tree.sh').ok().out
    )


def test_same_tree_every_time(kernel_org):
    ids = []
    for b in 'build/a', 'build/b':
        kernel_org.run('scripts/tree.sh', B=b).ok()
        ids.append(kernel_org.git('rev-parse', 'base', at=kernel_org.path(b, 'linux')))
    assert ids[0] == ids[1]


def test_download_that_was_broken_off(kernel_org, tarball):
    with open(tarball, 'rb') as f:
        part = f.read(100)
    os.makedirs(cache_of(kernel_org))
    with open(cache_of(kernel_org, 'linux-7.3.tar.xz.part'), 'wb') as f:
        f.write(part)
    kernel_org.run('scripts/fetch-base.sh').ok()


def test_wrong_checksum_is_not_kept(kernel_org):
    with open(f'{kernel_org.www}/linux-7.3.tar.xz', 'ab') as f:
        f.write(b'x')
    kernel_org.run('scripts/fetch-base.sh').says('wrong checksum')
    assert [x for _, _, files in os.walk(cache_of(kernel_org)) for x in files] == []


# A Debian mirror that has moved on


def mirror(bench, tmp_path, *versions, names='linux-source-7.3'):
    """apt-get and apt-cache of a machine whose mirror has these versions of the package."""
    bench.write('a package\n', tmp_path, 'any.deb')
    total = sum_of_file(f'{tmp_path}/any.deb')
    shown = ''.join(f'Version: {v}\nSHA256: {total}\n\n' for v in versions)
    bench.program(
        'apt-get',
        '#!/bin/sh\ncase " $* " in\n*" indextargets "*) echo http://127.0.0.1:9/debian Debian ;;\n'
        f'*" download "*) for p; do :; done; cp {tmp_path}/any.deb "${{p%=*}}_${{p#*=}}_all.deb" ;;\nesac\n',
    )
    bench.program(
        'apt-cache',
        f'#!/bin/sh\ncase " $* " in\n*" show "*) printf "{shown}" ;;\n*" search "*) echo "{names} - source" ;;\nesac\n',
    )


@pytest.fixture
def debian(offline, tmp_path):
    if not os.path.exists('/usr/share/keyrings/debian-archive-keyring.gpg'):
        pytest.skip('no keyring of Debian here')
    mirror(offline, tmp_path, '7.3.6-1', '7.3.5-1')
    return offline


def test_mirror_has_moved_on(debian):
    name = default_of(debian)[0]
    out = debian.run('scripts/fetch-base.sh').ok().out
    assert f'the Debian mirror has linux-source-7.3 7.3.6-1 now: taking that for {name}' in out
    assert out.endswith('linux-source-7.3_7.3.6-1_all.deb\n')
    debian.run('scripts/fetch-base.sh', BASE=name).says_one_line(
        'the Debian mirror has linux-source-7.3 7.3.6-1 now. Leave BASE= out'
    )


def test_mirror_has_the_base(debian, tmp_path):
    pin(debian, sum=sum_of_file(f'{tmp_path}/any.deb'))
    mirror(debian, tmp_path, '7.3.6-1', default_of(debian)[2])
    assert debian.run('scripts/fetch-base.sh', BASE=default_of(debian)[0]).ok().out.endswith(deb_of(debian) + '\n')


def test_mirror_has_lost_the_package(debian, tmp_path):
    mirror(debian, tmp_path, names='linux-source-7.4')
    debian.run('scripts/fetch-base.sh').says('has no linux-source-7.3 any more, but linux-source-7.4')
