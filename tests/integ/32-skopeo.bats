#!/usr/bin/env bats
# skopeo (containers/image): the usual tool for copying and mirroring

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export IMAGE INDEX HOME=$WORK
	IMAGE=$(image_layout "$WORK/one" skopeo-one)
	INDEX=$(image_index "$WORK/many" skopeo-many)
}

teardown_file() {
	berthd_teardown
}

setup() {
	need skopeo
	cd "$WORK"
}

copy() {
	skopeo --insecure-policy copy --src-tls-verify=false --dest-tls-verify=false "$@"
}

digest_of() {
	skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$BERTHD_ADDR/$1"
}

@test "skopeo copies an image in from a layout and out to another" {
	copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/one:v1"
	same digest "$IMAGE" "$(digest_of skopeo/one:v1)"
	registry_check skopeo/one v1

	copy "docker://$BERTHD_ADDR/skopeo/one:v1" oci:pulled-one:v1
	same "pulled blobs" "$(layout_digests one)" "$(layout_digests pulled-one)"
	layout_check pulled-one "$IMAGE"
	copy "docker://$BERTHD_ADDR/skopeo/one@$IMAGE" dir:pulled-dir
	same "manifest by digest" "${IMAGE#sha256:}" "$(file_sha256 pulled-dir/manifest.json)"
}

@test "skopeo --all copies an index of two platforms in, between repositories and out" {
	copy --all oci:many:latest "docker://$BERTHD_ADDR/skopeo/many:v1"
	same digest "$INDEX" "$(registry_digest skopeo/many v1)"
	registry_check skopeo/many v1

	copy --all "docker://$BERTHD_ADDR/skopeo/many:v1" "docker://$BERTHD_ADDR/skopeo/many-copy:v1"
	same "digest of the copy" "$INDEX" "$(registry_digest skopeo/many-copy v1)"
	registry_check skopeo/many-copy v1

	copy --all "docker://$BERTHD_ADDR/skopeo/many-copy:v1" oci:pulled-many:v1
	same "pulled blobs" "$(layout_digests many)" "$(layout_digests pulled-many)"
	layout_check pulled-many "$INDEX"
	same "name of the arm64 image" skopeo-many \
		"$(skopeo inspect --override-arch arm64 --tls-verify=false \
			--format '{{.Labels.name}}' "docker://$BERTHD_ADDR/skopeo/many:v1")"
}

@test "skopeo pushes Docker schema 2 and its manifest list" {
	copy --format v2s2 oci:one:latest "docker://$BERTHD_ADDR/skopeo/s2:v1"
	same "media type" application/vnd.docker.distribution.manifest.v2+json \
		"$(registry_header Content-Type skopeo/s2/manifests/v1)"
	registry_check skopeo/s2 v1
	copy --all --format v2s2 oci:many:latest "docker://$BERTHD_ADDR/skopeo/s2:list"
	same "media type" application/vnd.docker.distribution.manifest.list.v2+json \
		"$(registry_header Content-Type skopeo/s2/manifests/list)"
	registry_check skopeo/s2 list
	copy --all "docker://$BERTHD_ADDR/skopeo/s2:list" dir:pulled-list
	same "bytes of the list" "$(registry_digest skopeo/s2 list)" \
		"sha256:$(file_sha256 pulled-list/manifest.json)"
}

@test "skopeo copies between repositories by mounting" {
	copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/from:v1"
	copy "docker://$BERTHD_ADDR/skopeo/from:v1" "docker://$BERTHD_ADDR/skopeo/to:v1"
	same digest "$IMAGE" "$(registry_digest skopeo/to v1)"
	registry_check skopeo/to v1
	# any repository that skopeo has seen the blob in will do
	berthd_served POST '/v2/skopeo/to/blobs/uploads/\?[^" ]*mount=[^" ]*' 201 1
}

@test "skopeo deletes an image, and only its tag goes" {
	copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/del:gone"
	copy --all oci:many:latest "docker://$BERTHD_ADDR/skopeo/del:stays"
	skopeo delete --tls-verify=false "docker://$BERTHD_ADDR/skopeo/del:gone"
	same tags stays "$(skopeo list-tags --tls-verify=false "docker://$BERTHD_ADDR/skopeo/del" | jq -r '.Tags[]')"
	same "the deleted tag" 404 "$(registry_status HEAD skopeo/del/manifests/gone)"
	registry_check skopeo/del stays
}

@test "skopeo lists tags" {
	for tag in a b C_1.2-x; do
		copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/list:$tag"
	done
	same tags "C_1.2-x a b" "$(skopeo list-tags --tls-verify=false "docker://$BERTHD_ADDR/skopeo/list" |
		jq -r '.Tags[]' | LC_ALL=C sort | xargs)"
}

@test "skopeo sync mirrors a repository with its tags" {
	copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/mirror:a"
	copy --all oci:many:latest "docker://$BERTHD_ADDR/skopeo/mirror:b"
	skopeo --insecure-policy sync --all --src-tls-verify=false --dest-tls-verify=false \
		--src docker --dest docker "$BERTHD_ADDR/skopeo/mirror" "$BERTHD_ADDR/skopeo/mirrored"
	same "digest of a" "$IMAGE" "$(registry_digest skopeo/mirrored/mirror a)"
	same "digest of b" "$INDEX" "$(registry_digest skopeo/mirrored/mirror b)"
	registry_check skopeo/mirrored/mirror b
}

@test "skopeo copies an image under a sha256-*.sig tag, as cosign names signatures" {
	sig=${IMAGE/:/-}.sig
	copy oci:one:latest "docker://$BERTHD_ADDR/skopeo/signed:$sig"
	copy "docker://$BERTHD_ADDR/skopeo/signed:$sig" oci:pulled-sig:v1
	layout_check pulled-sig "$IMAGE"
}
