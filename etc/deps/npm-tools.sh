#!/bin/sh
# Installs what tests need of npm, at fixed versions, into DIR/npm.
#
# usage: etc/deps/npm-tools.sh DIR
set -eu

dir=$(mkdir -p "$1/npm" && cd "$1/npm" && pwd)
provider=oidc-provider@8.8.1
stamp=$dir/$provider

[ -e "$stamp" ] && exit 0
echo "installing $provider" >&2
npm install --prefix "$dir" --no-audit --no-fund --no-save --loglevel error "$provider" >/dev/null
: >"$stamp"
