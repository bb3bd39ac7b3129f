# SPDX-License-Identifier: GPL-2.0
"""The Python half of the workbench: python3 -m mmtrack VERB ARGS."""
import os

# a hook of git, or an outer make, shall not change what git and make do for us
for _name in 'GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL'.split():
    os.environ.pop(_name, None)
os.environ['LC_ALL'] = 'C'
