#!/bin/sh
# From nothing to a running container: berthd, a small image made of busybox, pushed by skopeo and by berth, run by berth.
# All of it lives in a directory that is removed at the end.
#
# usage: etc/tools/demo.sh [BIN-DIRECTORY]
set -eu
bin=${1:-build/bin}
work=$(mktemp -d /tmp/berth-demo.XXXXXX)
daemon=
export BERTH_NETWORK=none # the machine's own network stays as it is

berth() {
	"$bin/berth" --root "$work/images" --state "$work/state" "$@"
}

show() {
	printf '\n$ %s\n' "$*"
	"$@"
}

clean_up() {
	status=$?
	# shellcheck disable=SC2046 # ids are words
	berth rm --force --ignore $(berth ps -aq) none >/dev/null || true
	[ -z "$daemon" ] || kill "$daemon"
	wait
	rm -rf "$work"
	exit $status
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

[ "$(id -u)" = 0 ] || { echo "demo: containers need root here" >&2; exit 1; }

mkfifo "$work/ready"
"$bin/berthd" serve --root "$work/registry" --listen 127.0.0.1:0 >"$work/ready" 2>"$work/log" &
daemon=$!
read -r _ _ url <"$work/ready"
host=${url#http://}
echo "berthd serves on $host"

# An image by hand: a layer, a config, a manifest; nothing but tar, gzip and sha256sum.
layout=$work/layout
mkdir -p "$layout/blobs/sha256" "$work/files/bin" "$work/files/tmp"
cp /bin/busybox "$work/files/bin/"
for name in sh echo cat ls sleep hostname id ps; do
	ln -s busybox "$work/files/bin/$name"
done
blob() { # stdin becomes a blob: prints its digest and size
	cat >"$work/blob"
	hex=$(sha256sum "$work/blob" | cut -d' ' -f1)
	size=$(stat -c %s "$work/blob")
	mv "$work/blob" "$layout/blobs/sha256/$hex"
	echo "sha256:$hex $size"
}
tar -C "$work/files" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
diff=sha256:$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
read -r layer layer_size <<-EOF
	$(gzip -n <"$work/layer.tar" | blob)
EOF
read -r config config_size <<-EOF
	$(printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["sh","-c","echo hello from $(hostname)"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["%s"]}}' "$diff" | blob)
EOF
read -r manifest manifest_size <<-EOF
	$(printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"%s","size":%s}]}' \
		"$config" "$config_size" "$layer" "$layer_size" | blob)
EOF
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' \
	"$manifest" "$manifest_size" >"$layout/index.json"

show skopeo copy --dest-tls-verify=false "oci:$layout:v1" "docker://$host/app:v1"
show berth run --rm "$host/app:v1"
show berth tag "$host/app:v1" "$host/team/app:v2"
show berth push "$host/team/app:v2"
show berth images
show berth run -d --name web "$host/team/app:v2" sh -c 'echo started; sleep 0.2; echo done; exit 3'
show berth ps
printf '\n$ berth wait web\n'
berth wait web
show berth logs -t web
show berth ps -a
show berth rm web
echo
echo "demo: everything above is removed again"
