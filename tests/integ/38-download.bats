#!/usr/bin/env bats
# Downloads that were interrupted go on where they stopped

load ../lib/berthd
load ../lib/images

SIZE=$((8 * 1024 * 1024))

ctrd() {
	ctr -a "$WORK/containerd.sock" "$@"
}

containerd_ready_() {
	[[ -s $WORK/containerd.status ]] || ctrd version >/dev/null 2>&1
}

setup_file() {
	berthd_setup
	berthd_start
	export DIGEST
	image_bytes download "$SIZE" >"$WORK/blob"
	DIGEST=sha256:$(file_sha256 "$WORK/blob")
	curl -sSf -X POST -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/blob" \
		"$BERTHD_URL/v2/download/blobs/uploads/?digest=$DIGEST" >&2
	command -v containerd >/dev/null && ((EUID == 0)) || return 0
	cat >"$WORK/containerd.toml" <<-TOML
		version = 2
		root = "$WORK/containerd-root"
		state = "$WORK/containerd-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$WORK/containerd.sock"
	TOML
	daemon_start containerd containerd -c "$WORK/containerd.toml"
	wait_until containerd_ready_
	echo 4000000 >"$WORK/limit"
	daemon_start proxy python3 "$BERTHD_TOP/tests/lib/cutting-proxy.py" "$BERTHD_ADDR" "$WORK/limit"
	wait_until test -s "$WORK/proxy.out"
}

teardown_file() {
	daemon_signal containerd TERM
	daemon_signal proxy KILL
	berthd_teardown
}

setup() {
	cd "$WORK"
}

@test "curl -C - goes on with a part" {
	head -c 3000000 blob >part
	curl -sSf -C - -o part "$BERTHD_URL/v2/download/blobs/$DIGEST"
	cmp blob part
	berthd_served GET "/v2/download/blobs/$DIGEST" 206
}

@test "wget -c goes on with a part" {
	need wget
	head -c 5000000 blob >again
	wget -q -c -O again "$BERTHD_URL/v2/download/blobs/$DIGEST"
	cmp blob again
	berthd_served GET "/v2/download/blobs/$DIGEST" 206 1
}

@test "containerd goes on with a layer whenever its download is cut" {
	need_root
	need ctr containerd
	read -r digest size < <(printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
		"$DIGEST" | image_store layout)
	curl -sSf -X POST --data-binary "@layout/blobs/sha256/${digest#sha256:}" "$BERTHD_URL/v2/download/blobs/uploads/?digest=$digest"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%s}]}' \
		"$digest" "$size" "$DIGEST" "$SIZE" >manifest
	curl -sSf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' -T manifest "$BERTHD_URL/v2/download/manifests/v1"
	ref=127.0.0.1:$(<proxy.out)/download:v1
	before=$(berthd_requests GET "/v2/download/blobs/$DIGEST" 206 || true)
	ctrd content fetch --plain-http "$ref" # each connection is cut after 4 MB
	ctrd content get "$DIGEST" | cmp - blob
	berthd_served GET "/v2/download/blobs/$DIGEST" 206 "$before"
}
