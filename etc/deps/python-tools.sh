#!/bin/sh
# Installs what tests need from PyPI into an environment of its own.
#
# usage: etc/deps/python-tools.sh DIR      DIR/python/bin/st is schemathesis afterwards
# and DIR/python/bin/python has cloudevents
set -eu

dir=$1/python
schemathesis=4.32.5
cloudevents=2.2.0

version() {
	"$dir/bin/pip" show "$1" 2>/dev/null | sed -n 's/^Version: //p'
}

[ "$(version schemathesis)" = $schemathesis ] && [ "$(version cloudevents)" = $cloudevents ] && exit 0
python3 -m venv "$dir"
"$dir/bin/pip" -q install "schemathesis==$schemathesis" "cloudevents==$cloudevents"
