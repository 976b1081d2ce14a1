#!/usr/bin/env bats
# buildah: builds from nothing, pushes, and builds on what it pulls

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export HOME=$WORK XDG_RUNTIME_DIR=$WORK/run
	mkdir -p "$XDG_RUNTIME_DIR"
}

teardown_file() {
	berthd_teardown
}

setup() {
	need_root
	need buildah
	cd "$WORK"
}

build() {
	buildah --root "$WORK/storage" --runroot "$WORK/runroot" --storage-driver vfs "$@"
}

# commit NAME TEXT [BASE] - an image with one more layer, a file that holds TEXT
commit() {
	local c
	c=$(build from --tls-verify=false "${3:-scratch}")
	printf %s "$2" >"file-$1"
	build copy -q "$c" "file-$1" "/$1" >/dev/null
	build commit -q --rm "$c" "$1"
}

@test "buildah pushes what it built, and builds on what it pulls" {
	commit base "the first layer"
	build push -q --tls-verify=false --digestfile digest base "docker://$BERTHD_ADDR/buildah/base:v1"
	same digest "$(registry_digest buildah/base v1)" "$(<digest)"
	registry_check buildah/base v1
	build rmi -a -f
	commit next "the second layer" "$BERTHD_ADDR/buildah/base:v1"
	build push -q --tls-verify=false next "docker://$BERTHD_ADDR/buildah/next:v1"
	registry_check buildah/next v1
	same layers 2 "$(registry_manifest buildah/next v1 | jq '.layers | length')"
	# the base's layer is known to be in the other repository
	berthd_served POST '/v2/buildah/next/blobs/uploads/\?[^" ]*mount=[^" ]*' 201
}

@test "buildah pushes Docker schema 2 as well" {
	commit s2 "docker's format"
	build push -q --tls-verify=false --format v2s2 s2 "docker://$BERTHD_ADDR/buildah/s2:v1"
	same "media type" application/vnd.docker.distribution.manifest.v2+json \
		"$(registry_header Content-Type buildah/s2/manifests/v1)"
	registry_check buildah/s2 v1
}

@test "buildah pushes an index of two platforms" {
	build manifest create many
	for arch in amd64 arm64; do
		image_layout "$WORK/$arch" "buildah-$arch" >/dev/null
		build manifest add --arch "$arch" many "oci:$arch:latest"
	done
	build manifest push -q --all --tls-verify=false many "docker://$BERTHD_ADDR/buildah/many:v1"
	registry_check buildah/many v1
	same platforms "amd64 arm64" \
		"$(registry_manifest buildah/many v1 | jq -r '.manifests[].platform.architecture' | sort | xargs)"
}

@test "buildah inspects what the registry has" {
	commit seen "to be looked at"
	build push -q --tls-verify=false seen "docker://$BERTHD_ADDR/buildah/seen:v1"
	id=$(build images -q --no-trunc seen)
	build rmi -a -f
	build pull -q --tls-verify=false "$BERTHD_ADDR/buildah/seen:v1"
	same id "$id" "$(build images -q --no-trunc "$BERTHD_ADDR/buildah/seen:v1")"
}
