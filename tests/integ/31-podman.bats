#!/usr/bin/env bats
# podman, as root with a storage of its own

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export IMAGE INDEX HOME=$WORK XDG_RUNTIME_DIR=$WORK/run
	mkdir -p "$XDG_RUNTIME_DIR"
	IMAGE=$(image_layout "$WORK/one" podman-one)
	INDEX=$(image_index "$WORK/many" podman-many)
}

teardown_file() {
	berthd_teardown
}

setup() {
	need_root
	need podman
	cd "$WORK"
}

pod() {
	podman --root "$WORK/storage" --runroot "$WORK/runroot" --storage-driver vfs --events-backend=file \
		--cgroup-manager cgroupfs "$@"
}

@test "podman pushes an image and pulls it back" {
	pod pull -q oci:one:latest
	id=$(pod images -q --no-trunc | head -n 1)
	pod push -q --tls-verify=false --digestfile digest "$id" "docker://$BERTHD_ADDR/podman/one:v1"
	same digest "$(registry_digest podman/one v1)" "$(<digest)"
	registry_check podman/one v1
	pod rmi -f "$id"
	pod pull -q --tls-verify=false "$BERTHD_ADDR/podman/one:v1"
	same id "${id#sha256:}" "$(pod image inspect --format '{{.Id}}' "$BERTHD_ADDR/podman/one:v1")"
	pod pull -q --tls-verify=false "$BERTHD_ADDR/podman/one@$(<digest)"
}

@test "podman gets the files of an image" {
	pod pull -q oci:one:latest
	pod push -q --tls-verify=false "$(pod images -q --no-trunc | head -n 1)" "docker://$BERTHD_ADDR/podman/files:v1"
	pod rmi -f -a
	pod create -q --tls-verify=false --name files "$BERTHD_ADDR/podman/files:v1" /x
	pod cp files:/data/blob blob
	pod rm files
	same "a file of the image" "$(image_data_sha256 podman-one)" "$(file_sha256 blob)"
}

@test "podman pushes a manifest list of two platforms and pulls one of them" {
	for arch in amd64 arm64; do
		image_layout "$WORK/$arch" "podman-$arch" >/dev/null
		pod pull -q "oci:$arch:latest"
	done
	pod manifest create list
	pod manifest add --arch amd64 list oci:amd64:latest
	pod manifest add --arch arm64 list oci:arm64:latest
	pod manifest push -q --all --tls-verify=false list "docker://$BERTHD_ADDR/podman/list:v1"
	registry_check podman/list v1
	same platforms "amd64 arm64" \
		"$(registry_manifest podman/list v1 | jq -r '.manifests[].platform.architecture' | sort | xargs)"
	pod pull -q --arch arm64 --tls-verify=false "$BERTHD_ADDR/podman/list:v1"
}

@test "podman pushes to a second repository by mounting" {
	pod pull -q oci:one:latest
	id=$(pod images -q --no-trunc | head -n 1)
	pod push -q --tls-verify=false "$id" "docker://$BERTHD_ADDR/podman/from:v1"
	pod push -q --tls-verify=false "$id" "docker://$BERTHD_ADDR/podman/to:v1"
	registry_check podman/to v1
	berthd_served POST '/v2/podman/to/blobs/uploads/\?[^" ]*mount=[^" ]*' 201 1
}

@test "podman search lists tags" {
	pod pull -q oci:one:latest
	for tag in a b; do
		pod push -q --tls-verify=false "$(pod images -q --no-trunc | head -n 1)" "docker://$BERTHD_ADDR/podman/tags:$tag"
	done
	same tags "a b" "$(pod search --list-tags --tls-verify=false "$BERTHD_ADDR/podman/tags" |
		awk 'NR > 1 { print $2 }' | sort | xargs)"
}
