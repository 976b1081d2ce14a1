#!/bin/sh
# Builds cilium's plugin into DIR/cni: its module has replacements, which "go install" does not take.
#
# usage: etc/deps/cilium.sh DIR
set -eu

version=v1.15.19
dir=$(mkdir -p "$1/cni" "$1/stamps" && cd "$1" && pwd)
stamp=$dir/stamps/cilium-$version
if [ -e "$stamp" ] && [ -x "$dir/cni/cilium-cni" ]; then
	exit 0
fi
for go in go /usr/local/go/bin/go "$dir/venv/bin/go" ''; do
	[ -n "$go" ] || { echo "cilium.sh: no Go: etc/deps/go-tools.sh $1 gets one" >&2; exit 1; }
	! "$go" version >/dev/null 2>&1 || break
done
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cat >"$source/go.mod" <<END
module plugin

go 1.24

require github.com/cilium/cilium $version

replace (
	go.universe.tf/metallb => github.com/cilium/metallb v0.1.1-0.20220829170633-5d7dfb1129f7
	sigs.k8s.io/controller-tools => github.com/cilium/controller-tools v0.8.0-1
)
END
echo "building cilium-cni $version" >&2
cd "$source"
CGO_ENABLED=0 "$go" build -mod=mod -trimpath -o "$dir/cni/cilium-cni" github.com/cilium/cilium/plugins/cilium-cni
: >"$stamp"
