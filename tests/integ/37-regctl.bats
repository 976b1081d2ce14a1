#!/usr/bin/env bats
# regctl (regclient): tag deletion by the API, referrers, digest tags, chunked uploads

load ../lib/berthd
load ../lib/images

setup_file() {
	berthd_setup
	berthd_start
	export IMAGE INDEX HOME=$WORK REGCTL_CONFIG=$WORK/regctl.json
	IMAGE=$(image_layout "$WORK/one" regctl-one)
	INDEX=$(image_index "$WORK/many" regctl-many)
	image_bytes regctl-sbom 3000 >"$WORK/sbom.json"
	if command -v regctl >/dev/null; then
		regctl registry set --skip-check --tls=disabled "$BERTHD_ADDR"
	fi
}

teardown_file() {
	berthd_teardown
}

setup() {
	need regctl
	cd "$WORK"
}

@test "regctl copies an image in from a layout and out to another" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/one:v1"
	same digest "$IMAGE" "$(regctl image digest "$BERTHD_ADDR/regctl/one:v1")"
	registry_check regctl/one v1

	regctl image copy "$BERTHD_ADDR/regctl/one:v1" ocidir://pulled-one:v1
	same "pulled blobs" "$(layout_digests one)" "$(layout_digests pulled-one)"
	layout_check pulled-one "$IMAGE"
	regctl image get-file "$BERTHD_ADDR/regctl/one:v1" /data/blob blob
	same content "$(image_data_sha256 regctl-one)" "$(file_sha256 blob)"
}

@test "regctl copies an index of two platforms in, between repositories and out" {
	regctl image copy ocidir://many:latest "$BERTHD_ADDR/regctl/many:v1"
	same digest "$INDEX" "$(regctl image digest "$BERTHD_ADDR/regctl/many:v1")"
	registry_check regctl/many v1

	regctl image copy "$BERTHD_ADDR/regctl/many:v1" "$BERTHD_ADDR/regctl/many-copy:v1"
	same "digest of the copy" "$INDEX" "$(registry_digest regctl/many-copy v1)"
	registry_check regctl/many-copy v1

	regctl image copy "$BERTHD_ADDR/regctl/many-copy:v1" ocidir://pulled-many:v1
	same "pulled blobs" "$(layout_digests many)" "$(layout_digests pulled-many)"
	layout_check pulled-many "$INDEX"
	same "arm64 digest" \
		"$(jq -r '.manifests[] | select(.platform.architecture == "arm64").digest' \
			"many/blobs/sha256/${INDEX#sha256:}")" \
		"$(regctl image digest --platform linux/arm64 "$BERTHD_ADDR/regctl/many:v1")"
}

@test "regctl copies between repositories by mounting" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/from:v1"
	regctl image copy "$BERTHD_ADDR/regctl/from:v1" "$BERTHD_ADDR/regctl/to:v1"
	same digest "$IMAGE" "$(registry_digest regctl/to v1)"
	registry_check regctl/to v1
	mounted regctl/from regctl/to 3
}

@test "regctl deletes one tag and no other of the same manifest" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/del:gone"
	regctl image copy "$BERTHD_ADDR/regctl/del:gone" "$BERTHD_ADDR/regctl/del:stays"
	regctl tag delete "$BERTHD_ADDR/regctl/del:gone"
	same tags stays "$(regctl tag ls "$BERTHD_ADDR/regctl/del")"
	same "the deleted tag" 404 "$(registry_status HEAD regctl/del/manifests/gone)"
	same "digest of the other" "$IMAGE" "$(regctl image digest "$BERTHD_ADDR/regctl/del:stays")"
	registry_check regctl/del "$IMAGE"
	# where DELETE by tag is refused, regctl overwrites the tag and deletes that manifest
	berthd_served DELETE '/v2/regctl/del/manifests/gone' 202
}

@test "regctl deletes a manifest by digest with its tags" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/delm:a"
	regctl image copy ocidir://many:latest "$BERTHD_ADDR/regctl/delm:b"
	regctl manifest delete "$BERTHD_ADDR/regctl/delm@$IMAGE"
	same tags b "$(regctl tag ls "$BERTHD_ADDR/regctl/delm")"
	registry_check regctl/delm b
}

@test "regctl puts referrers, lists them filtered and gets one back" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/subject:v1"
	regctl artifact put --artifact-type application/vnd.test.sbom \
		--annotation org.example.kind=sbom -f sbom.json --file-media-type application/json \
		--subject "$BERTHD_ADDR/regctl/subject:v1"
	echo hello | regctl artifact put --artifact-type application/vnd.test.note \
		--subject "$BERTHD_ADDR/regctl/subject:v1"

	same types "application/vnd.test.note application/vnd.test.sbom" \
		"$(regctl artifact list --format body "$BERTHD_ADDR/regctl/subject:v1" |
			jq -r '.manifests[].artifactType' | sort | xargs)"
	same "types when filtered" application/vnd.test.sbom \
		"$(regctl artifact list --filter-artifact-type application/vnd.test.sbom \
			--format body "$BERTHD_ADDR/regctl/subject:v1" | jq -r '.manifests[].artifactType')"
	same "tags: none made for want of the API" v1 "$(registry_tags regctl/subject)"
	regctl artifact get --subject "$BERTHD_ADDR/regctl/subject:v1" \
		--filter-artifact-type application/vnd.test.sbom >sbom.got
	cmp sbom.json sbom.got

	# the copy takes them along
	regctl image copy --referrers "$BERTHD_ADDR/regctl/subject:v1" "$BERTHD_ADDR/regctl/subject-copy:v1"
	same "referrers of the copy" 2 \
		"$(regctl artifact list --format body "$BERTHD_ADDR/regctl/subject-copy:v1" | jq '.manifests | length')"
}

@test "regctl copies an image with its cosign-style digest tags" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/signed:v1"
	sig=${IMAGE/:/-}.sig
	printf '{"critical":"%s"}' "$IMAGE" >payload.json
	regctl artifact put -f payload.json \
		--file-media-type application/vnd.dev.cosign.simplesigning.v1+json \
		--config-type application/vnd.oci.image.config.v1+json "$BERTHD_ADDR/regctl/signed:$sig"
	regctl image copy --digest-tags "$BERTHD_ADDR/regctl/signed:v1" "$BERTHD_ADDR/regctl/signed-copy:v1"
	has tags "$(regctl tag ls "$BERTHD_ADDR/regctl/signed-copy")" "$sig"
	regctl artifact get "$BERTHD_ADDR/regctl/signed-copy:$sig" >payload.got
	cmp payload.json payload.got
}

@test "regctl lists tags a page at a time, and repositories" {
	regctl image copy ocidir://one:latest "$BERTHD_ADDR/regctl/list:a"
	for tag in b c d; do
		regctl image copy "$BERTHD_ADDR/regctl/list:a" "$BERTHD_ADDR/regctl/list:$tag"
	done
	same "all tags" "a b c d" "$(regctl tag ls "$BERTHD_ADDR/regctl/list" | xargs)"
	same "a page" "b c" "$(regctl tag ls --limit 2 --last a "$BERTHD_ADDR/regctl/list" | xargs)"
	has repositories "$(regctl repo ls "$BERTHD_ADDR")" regctl/list
}

@test "regctl uploads a blob in chunks" {
	image_bytes regctl-chunks 3000000 >chunked.bin
	regctl registry set --skip-check --blob-chunk 500000 --blob-max 600000 "$BERTHD_ADDR"
	regctl blob put "$BERTHD_ADDR/regctl/chunks" <chunked.bin
	regctl registry set --skip-check --blob-chunk 0 --blob-max 0 "$BERTHD_ADDR"
	digest=sha256:$(file_sha256 chunked.bin)
	same bytes "${digest#sha256:}" \
		"$(regctl blob get "$BERTHD_ADDR/regctl/chunks" "$digest" | file_sha256)"
	berthd_served PATCH '/v2/regctl/chunks/blobs/uploads/[^" ]*' 202 5
	regctl blob delete "$BERTHD_ADDR/regctl/chunks" "$digest"
	same "the deleted blob" 404 "$(registry_status HEAD "regctl/chunks/blobs/$digest")"
}
