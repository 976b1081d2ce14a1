#!/bin/sh
# Installs what tests need from PyPI into an environment of its own.
#
# usage: etc/deps/python-tools.sh DIR      DIR/python/bin/st is schemathesis afterwards
set -eu

dir=$1/python
schemathesis=4.32.5

[ "$("$dir/bin/pip" show schemathesis 2>/dev/null | sed -n 's/^Version: //p')" = $schemathesis ] && exit 0
python3 -m venv "$dir"
"$dir/bin/pip" -q install "schemathesis==$schemathesis"
