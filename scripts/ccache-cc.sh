#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The compiler "$@" through ccache, but for assembler files: these may include another by .incbin, such as the
# compressed kernel in its own boot loader, which ccache does not see when it does not preprocess (CCACHE_DEPEND).
case "$*" in
*.S) exec "$@" ;;
esac
exec ccache "$@"
