#!/usr/bin/env bats
# containerd's ctr, with a containerd of its own

load ../lib/berthd
load ../lib/images

containerd_ready_() {
	[[ -s $WORK/containerd.status ]] || ctrd version >/dev/null 2>&1
}

ctrd() {
	ctr -a "$WORK/containerd.sock" "$@"
}

setup_file() {
	berthd_setup
	berthd_start
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
	if [[ -s $WORK/containerd.status ]]; then
		tail -n 20 "$WORK/containerd.err" >&2
		return 1
	fi
	export IMAGE INDEX
	IMAGE=$(image_layout "$WORK/one" ctr-one)
	INDEX=$(image_index "$WORK/many" ctr-many)
	tar -C "$WORK/one" -cf "$WORK/one.tar" .
	tar -C "$WORK/many" -cf "$WORK/many.tar" .
	ctrd images import --index-name local/one:v1 "$WORK/one.tar" >&2
	ctrd images import --all-platforms --index-name local/many:v1 "$WORK/many.tar" >&2
}

teardown_file() {
	daemon_signal containerd TERM
	berthd_teardown
}

setup() {
	need_root
	need ctr containerd
	cd "$WORK"
}

# local_digest NAME
local_digest() {
	ctrd images list -q | grep -Fx "$1" >/dev/null && ctrd images list | awk -v n="$1" '$1 == n { print $3 }'
}

@test "ctr pushes an image, and pulls it back with the same digest" {
	ref=$(ctrd images list -q | grep one | head -n 1)
	ctrd images push --plain-http "$BERTHD_ADDR/ctr/one:v1" "$ref"
	same digest "$(local_digest "$ref")" "$(registry_digest ctr/one v1)"
	registry_check ctr/one v1
	ctrd images pull --plain-http "$BERTHD_ADDR/ctr/one:v1"
	same digest "$(local_digest "$ref")" "$(local_digest "$BERTHD_ADDR/ctr/one:v1")"
}

@test "ctr pulls an image into an empty content store" {
	need skopeo
	skopeo --insecure-policy copy -q --dest-tls-verify=false oci:one:latest "docker://$BERTHD_ADDR/ctr/fresh:v1"
	ctrd -n fresh images pull --plain-http "$BERTHD_ADDR/ctr/fresh:v1"
	same digest "$IMAGE" "$(ctrd -n fresh images list | awk 'NR == 2 { print $3 }')"
	ctrd -n fresh content get "$IMAGE" >manifest
	same "bytes of the manifest" "${IMAGE#sha256:}" "$(file_sha256 manifest)"
}

@test "ctr pushes and pulls an index with both platforms" {
	need skopeo
	skopeo --insecure-policy copy -q --all --dest-tls-verify=false oci:many:latest "docker://$BERTHD_ADDR/ctr/many:v1"
	ctrd -n many images pull --all-platforms --plain-http "$BERTHD_ADDR/ctr/many:v1"
	same digest "$INDEX" "$(ctrd -n many images list | awk 'NR == 2 { print $3 }')"
	ctrd -n many images push --plain-http "$BERTHD_ADDR/ctr/many-again:v1" "$BERTHD_ADDR/ctr/many:v1"
	same "digest of the copy" "$INDEX" "$(registry_digest ctr/many-again v1)"
	registry_check ctr/many-again v1
}

@test "ctr copies between repositories by mounting" {
	need skopeo
	skopeo --insecure-policy copy -q --dest-tls-verify=false oci:one:latest "docker://$BERTHD_ADDR/ctr/from:v1"
	ctrd -n mount images pull --plain-http "$BERTHD_ADDR/ctr/from:v1"
	ctrd -n mount images push --plain-http "$BERTHD_ADDR/ctr/to:v1" "$BERTHD_ADDR/ctr/from:v1"
	same digest "$IMAGE" "$(registry_digest ctr/to v1)"
	registry_check ctr/to v1
	berthd_served POST '/v2/ctr/to/blobs/uploads/\?[^" ]*mount=[^" ]*' 201 1
}
