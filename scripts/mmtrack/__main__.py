# SPDX-License-Identifier: GPL-2.0
"""Runs a verb: python3 -m mmtrack VERB ARGS calls main(ARGS) of the module mmtrack.VERB."""
import importlib
import pkgutil
import sys

import mmtrack


def main(argv):
    verbs = sorted(m.name for m in pkgutil.iter_modules(mmtrack.__path__) if not m.name.startswith('_'))
    name = argv[0].replace('-', '_') if argv else ''
    module = importlib.import_module(f'mmtrack.{name}') if name in verbs else None
    if not hasattr(module, 'main'):
        sys.exit(f'error: {name or "nothing"} is no verb of mmtrack: see scripts/mmtrack')
    try:
        return module.main(argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
