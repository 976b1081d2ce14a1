#!/usr/bin/env bats
# oras: artifacts of any type, and the referrers API

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export IMAGE INDEX HOME=$WORK
	IMAGE=$(image_layout "$WORK/one" oras-one)
	INDEX=$(image_index "$WORK/many" oras-many)
	image_bytes oras-sbom 3000 >"$WORK/sbom.json"
	image_bytes oras-file 100000 >"$WORK/file.bin"
}

teardown_file() {
	berthd_teardown
}

setup() {
	need oras
	cd "$WORK"
}

@test "oras pushes an artifact of two files and pulls the same bytes" {
	oras push --plain-http "$BERTHD_ADDR/oras/files:v1" --artifact-type application/vnd.test \
		file.bin:application/vnd.test.bin sbom.json:application/json
	registry_check oras/files v1
	same artifactType application/vnd.test \
		"$(registry_manifest oras/files v1 | jq -r .artifactType)"

	oras pull --plain-http -o pulled-files "$BERTHD_ADDR/oras/files:v1"
	cmp file.bin pulled-files/file.bin
	cmp sbom.json pulled-files/sbom.json
}

@test "oras copies an image in from a layout and out to another" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/one:v1"
	same digest "$IMAGE" "$(oras resolve --plain-http "$BERTHD_ADDR/oras/one:v1")"
	registry_check oras/one v1

	oras cp --from-plain-http --to-oci-layout "$BERTHD_ADDR/oras/one:v1" pulled-one:v1
	same "pulled blobs" "$(layout_digests one)" "$(layout_digests pulled-one)"
	layout_check pulled-one "$IMAGE"
}

@test "oras copies an index of two platforms in, out and by platform" {
	oras cp --from-oci-layout --to-plain-http many:latest "$BERTHD_ADDR/oras/many:v1"
	same digest "$INDEX" "$(oras resolve --plain-http "$BERTHD_ADDR/oras/many:v1")"
	registry_check oras/many v1

	oras cp --from-plain-http --to-oci-layout "$BERTHD_ADDR/oras/many:v1" pulled-many:v1
	same "pulled blobs" "$(layout_digests many)" "$(layout_digests pulled-many)"
	layout_check pulled-many "$INDEX"
	same "arm64 digest" \
		"$(jq -r '.manifests[] | select(.platform.architecture == "arm64").digest' \
			"many/blobs/sha256/${INDEX#sha256:}")" \
		"$(oras resolve --plain-http --platform linux/arm64 "$BERTHD_ADDR/oras/many:v1")"
}

@test "oras copies between repositories by mounting" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/from:v1"
	oras cp --from-plain-http --to-plain-http "$BERTHD_ADDR/oras/from:v1" "$BERTHD_ADDR/oras/to:v1,v2"
	same digest "$IMAGE" "$(registry_digest oras/to v1)"
	same digest "$IMAGE" "$(registry_digest oras/to v2)"
	registry_check oras/to v1
	mounted oras/from oras/to 3
}

@test "oras attaches referrers and discovers them through the API" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/subject:v1"
	oras attach --plain-http --artifact-type application/vnd.test.sbom \
		--annotation org.example.kind=sbom "$BERTHD_ADDR/oras/subject:v1" sbom.json
	oras attach --plain-http --artifact-type application/vnd.test.note \
		--annotation note=hello "$BERTHD_ADDR/oras/subject:v1"

	oras discover --plain-http --format json "$BERTHD_ADDR/oras/subject:v1" >all.json
	same types "application/vnd.test.note application/vnd.test.sbom" \
		"$(jq -r '(.referrers // .manifests)[].artifactType' all.json | sort | xargs)"
	oras discover --plain-http --distribution-spec v1.1-referrers-api --format json \
		--artifact-type application/vnd.test.sbom "$BERTHD_ADDR/oras/subject:v1" >some.json
	same "types when filtered" application/vnd.test.sbom \
		"$(jq -r '(.referrers // .manifests)[].artifactType' some.json)"
	same annotation sbom \
		"$(jq -r '(.referrers // .manifests)[0].annotations["org.example.kind"]' some.json)"

	same "tags: none made for want of the API" v1 "$(registry_tags oras/subject)"
	oras pull --plain-http -o pulled-sbom \
		"$BERTHD_ADDR/oras/subject@$(jq -r '(.referrers // .manifests)[0].digest' some.json)"
	cmp sbom.json pulled-sbom/sbom.json
}

@test "oras attaches to a referrer, discovers the tree and copies it whole" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/tree:v1"
	oras attach --plain-http --artifact-type application/vnd.test.sbom \
		--export-manifest sbom-manifest.json "$BERTHD_ADDR/oras/tree:v1" sbom.json
	sbom=sha256:$(file_sha256 sbom-manifest.json)
	oras attach --plain-http --artifact-type application/vnd.test.sig \
		--annotation signed=yes "$BERTHD_ADDR/oras/tree@$sbom"
	oras discover --plain-http --format json "$BERTHD_ADDR/oras/tree:v1" >tree.json
	same "type of the referrer's referrer" application/vnd.test.sig \
		"$(jq -r '.referrers[0].referrers[0].artifactType' tree.json)"

	oras cp -r --from-plain-http --to-plain-http "$BERTHD_ADDR/oras/tree:v1" \
		"$BERTHD_ADDR/oras/tree-copy:v1"
	oras discover --plain-http --format json "$BERTHD_ADDR/oras/tree-copy:v1" >copy.json
	same "tree of the copy" "$(jq -c '[.. | .digest? // empty] | sort' tree.json)" \
		"$(jq -c '[.. | .digest? // empty] | sort' copy.json)"
}

@test "oras deletes a manifest, and only its tag goes" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/del:stays"
	oras push --plain-http "$BERTHD_ADDR/oras/del:gone" sbom.json
	oras manifest delete --plain-http --force "$BERTHD_ADDR/oras/del:gone"
	same tags stays "$(oras repo tags --plain-http "$BERTHD_ADDR/oras/del")"
	same "the deleted tag" 404 "$(registry_status HEAD oras/del/manifests/gone)"
	registry_check oras/del stays
}

@test "oras tags, and lists tags and repositories" {
	oras push --plain-http "$BERTHD_ADDR/oras/list:a,b" file.bin
	oras tag --plain-http "$BERTHD_ADDR/oras/list:a" c D_1.0
	same tags "D_1.0 a b c" "$(oras repo tags --plain-http "$BERTHD_ADDR/oras/list" | LC_ALL=C sort | xargs)"
	has repositories "$(oras repo ls --plain-http "$BERTHD_ADDR")" oras/list
}

@test "oras pushes and pulls a signature under a sha256-*.sig tag, as cosign does" {
	oras cp --from-oci-layout --to-plain-http one:latest "$BERTHD_ADDR/oras/signed:v1"
	printf '{"critical":{"image":{"docker-manifest-digest":"%s"}}}' "$IMAGE" >payload.json
	printf '{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"config":{}}' \
		"$(file_sha256 payload.json)" >sig-config.json
	sig=${IMAGE/:/-}.sig
	oras push --plain-http --image-spec v1.0 \
		--config sig-config.json:application/vnd.oci.image.config.v1+json \
		"$BERTHD_ADDR/oras/signed:$sig" \
		payload.json:application/vnd.dev.cosign.simplesigning.v1+json
	registry_check oras/signed "$sig"
	has tags "$(oras repo tags --plain-http "$BERTHD_ADDR/oras/signed")" "$sig"
	oras pull --plain-http -o pulled-sig "$BERTHD_ADDR/oras/signed:$sig"
	cmp payload.json pulled-sig/payload.json
}

@test "oras pushes, fetches and deletes a single blob" {
	digest=sha256:$(file_sha256 file.bin)
	oras blob push --plain-http "$BERTHD_ADDR/oras/blob" file.bin
	oras blob fetch --plain-http --output fetched.bin "$BERTHD_ADDR/oras/blob@$digest"
	cmp file.bin fetched.bin
	oras blob delete --plain-http --force "$BERTHD_ADDR/oras/blob@$digest"
	same "the deleted blob" 404 "$(registry_status HEAD "oras/blob/blobs/$digest")"
}
