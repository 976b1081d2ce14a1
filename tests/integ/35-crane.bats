#!/usr/bin/env bats
# crane (go-containerregistry): the client of ko, bazel and many pipelines

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export IMAGE INDEX
	IMAGE=$(image_layout "$WORK/one" crane-one)
	INDEX=$(image_index "$WORK/many" crane-many)
}

teardown_file() {
	berthd_teardown
}

setup() {
	need crane
}

@test "crane pushes an image and pulls the same bytes" {
	crane push "$WORK/one" "$BERTHD_ADDR/crane/one:v1"
	same digest "$IMAGE" "$(crane digest "$BERTHD_ADDR/crane/one:v1")"
	registry_check crane/one v1

	crane pull --format=oci "$BERTHD_ADDR/crane/one:v1" "$WORK/pulled-one"
	same "pulled blobs" "$(layout_digests "$WORK/one")" "$(layout_digests "$WORK/pulled-one")"
	layout_check "$WORK/pulled-one" "$IMAGE"
	crane export "$BERTHD_ADDR/crane/one@$IMAGE" "$WORK/one.tar"
	same content "$(image_data_sha256 crane-one)" \
		"$(tar -xOf "$WORK/one.tar" data/blob | file_sha256)"
	crane validate --remote "$BERTHD_ADDR/crane/one:v1"
}

@test "crane pushes, pulls and copies an index of two platforms" {
	crane push "$WORK/many" "$BERTHD_ADDR/crane/many:v1"
	same digest "$INDEX" "$(crane digest "$BERTHD_ADDR/crane/many:v1")"
	registry_check crane/many v1

	crane pull --format=oci "$BERTHD_ADDR/crane/many:v1" "$WORK/pulled-many"
	same "pulled blobs" "$(layout_digests "$WORK/many")" "$(layout_digests "$WORK/pulled-many")"
	layout_check "$WORK/pulled-many" "$INDEX"
	crane export --platform linux/arm64 "$BERTHD_ADDR/crane/many:v1" "$WORK/arm64.tar"
	same "arm64 content" "$(image_data_sha256 crane-many arm64)" \
		"$(tar -xOf "$WORK/arm64.tar" data/blob | file_sha256)"

	crane copy "$BERTHD_ADDR/crane/many:v1" "$BERTHD_ADDR/crane/many-copy:v2"
	same "digest of the copy" "$INDEX" "$(registry_digest crane/many-copy v2)"
	registry_check crane/many-copy v2
}

@test "crane copies between repositories by mounting" {
	crane push "$WORK/one" "$BERTHD_ADDR/crane/from:v1"
	crane copy "$BERTHD_ADDR/crane/from:v1" "$BERTHD_ADDR/crane/to/deep:v1"
	same digest "$IMAGE" "$(registry_digest crane/to/deep v1)"
	registry_check crane/to/deep v1
	mounted crane/from crane/to/deep 3
	same "uploads into the target" 0 "$(berthd_requests PUT '/v2/crane/to/deep/blobs/uploads/[^"]*' 201)"
}

@test "crane deletes one tag and no other" {
	crane push "$WORK/one" "$BERTHD_ADDR/crane/del:gone"
	crane tag "$BERTHD_ADDR/crane/del:gone" stays
	crane delete "$BERTHD_ADDR/crane/del:gone"
	same "tags" stays "$(crane ls "$BERTHD_ADDR/crane/del")"
	run crane digest "$BERTHD_ADDR/crane/del:gone"
	[ "$status" -ne 0 ]
	same digest "$IMAGE" "$(crane digest "$BERTHD_ADDR/crane/del:stays")"
	registry_check crane/del "$IMAGE"
	crane delete "$BERTHD_ADDR/crane/del@$IMAGE"
	same "tags after the manifest went" "" "$(crane ls "$BERTHD_ADDR/crane/del")"
}

@test "crane lists tags and repositories" {
	crane push "$WORK/one" "$BERTHD_ADDR/crane/list:a"
	crane tag "$BERTHD_ADDR/crane/list:a" b
	crane tag "$BERTHD_ADDR/crane/list:a" C_1.2-x
	same tags "C_1.2-x a b" "$(crane ls "$BERTHD_ADDR/crane/list" | sort | xargs)"
	has repositories "$(crane catalog "$BERTHD_ADDR")" crane/list
}

@test "crane pushes and pulls a signature under a sha256-*.sig tag, as cosign does" {
	crane push "$WORK/one" "$BERTHD_ADDR/crane/signed:v1"
	echo '{"critical":{"image":{"docker-manifest-digest":"'"$IMAGE"'"}}}' >"$WORK/payload"
	tar -C "$WORK" -cf "$WORK/payload.tar" payload
	sig=${IMAGE/:/-}.sig
	crane append --oci-empty-base -f "$WORK/payload.tar" -t "$BERTHD_ADDR/crane/signed:$sig"
	has tags "$(crane ls "$BERTHD_ADDR/crane/signed")" "$sig"
	crane export "$BERTHD_ADDR/crane/signed:$sig" "$WORK/sig.tar"
	same payload "$(<"$WORK/payload")" "$(tar -xOf "$WORK/sig.tar" payload)"
	same "the image itself" "$IMAGE" "$(crane digest "$BERTHD_ADDR/crane/signed:v1")"
}
