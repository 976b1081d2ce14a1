#!/usr/bin/env bats
# docker, with a dockerd of its own

load ../lib/berthd
load ../lib/images

docker_ready_() {
	[[ -s $WORK/dockerd.status ]] || docker version >/dev/null 2>&1
}

setup_file() {
	berthd_setup
	berthd_start
	command -v dockerd >/dev/null && ((EUID == 0)) || return 0
	export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/docker-config DOCKER_CLI_EXPERIMENTAL=enabled
	daemon_start dockerd dockerd --data-root "$WORK/docker-data" --exec-root "$WORK/docker-exec" \
		-H "$DOCKER_HOST" --pidfile "$WORK/docker.pid" --bridge=none --iptables=false \
		--storage-driver=vfs
	wait_until docker_ready_
	if [[ -s $WORK/dockerd.status ]]; then
		tail -n 20 "$WORK/dockerd.err" >&2
		return 1
	fi
	export IMAGE INDEX
	IMAGE=$(image_layout "$WORK/one" docker-one)
	INDEX=$(image_index "$WORK/many" docker-many)
	skopeo --insecure-policy copy -q "oci:$WORK/one:latest" "docker-archive:$WORK/one.tar:local/one:v1" >&2
	docker load -q -i "$WORK/one.tar" >&2
}

teardown_file() {
	daemon_signal dockerd TERM
	berthd_teardown
}

setup() {
	need_root
	need docker dockerd skopeo
	cd "$WORK"
}

# push REPO:TAG - tag the local image and push it; prints the digest that docker tells
push() {
	docker tag local/one:v1 "$BERTHD_ADDR/$1"
	docker push "$BERTHD_ADDR/$1" | sed -n 's/.* digest: \(sha256:[0-9a-f]*\) .*/\1/p'
}

@test "docker pushes an image, and pulls it back with the same digest" {
	digest=$(push docker/one:v1)
	same "digest told by docker" "$(registry_digest docker/one v1)" "$digest"
	registry_check docker/one v1
	id=$(docker image inspect -f '{{.Id}}' local/one:v1)
	docker rmi "$BERTHD_ADDR/docker/one:v1"
	docker pull -q "$BERTHD_ADDR/docker/one:v1"
	same "id of the image" "$id" "$(docker image inspect -f '{{.Id}}' "$BERTHD_ADDR/docker/one:v1")"
	docker pull -q "$BERTHD_ADDR/docker/one@$digest"
}

@test "docker pulls an image that came as OCI, layer by layer" {
	skopeo --insecure-policy copy -q --dest-tls-verify=false oci:one:latest "docker://$BERTHD_ADDR/docker/oci:v1"
	docker pull -q "$BERTHD_ADDR/docker/oci:v1"
	same digest "$BERTHD_ADDR/docker/oci@$IMAGE" \
		"$(docker image inspect -f '{{index .RepoDigests 0}}' "$BERTHD_ADDR/docker/oci:v1")"
	docker create --name from-oci "$BERTHD_ADDR/docker/oci:v1" /x
	docker cp from-oci:/data/blob blob
	docker rm from-oci
	same "a file of the image" "$(image_data_sha256 docker-one)" "$(file_sha256 blob)"
}

@test "docker pulls its platform from an index of two" {
	skopeo --insecure-policy copy -q --all --dest-tls-verify=false oci:many:latest "docker://$BERTHD_ADDR/docker/many:v1"
	docker pull -q "$BERTHD_ADDR/docker/many:v1"
	same "name of the image" docker-many \
		"$(docker image inspect -f '{{.Config.Labels.name}}' "$BERTHD_ADDR/docker/many:v1")"
	docker pull -q --platform linux/arm64 "$BERTHD_ADDR/docker/many:v1"
	same platform arm64 "$(docker image inspect -f '{{.Architecture}}' "$BERTHD_ADDR/docker/many:v1")"
}

@test "docker manifest makes and pushes a list" {
	push docker/list:amd64
	docker manifest create --insecure "$BERTHD_ADDR/docker/list:all" "$BERTHD_ADDR/docker/list:amd64"
	docker manifest push --insecure "$BERTHD_ADDR/docker/list:all"
	same "media type" application/vnd.docker.distribution.manifest.list.v2+json \
		"$(registry_header Content-Type docker/list/manifests/all)"
	registry_check docker/list all
}

@test "docker pushes to a second repository by mounting" {
	push docker/from:v1
	push docker/to:v1
	registry_check docker/to v1
	berthd_served POST '/v2/docker/to/blobs/uploads/\?[^" ]*mount=[^" ]*' 201 1
}

@test "docker push -a pushes several tags" {
	docker tag local/one:v1 "$BERTHD_ADDR/docker/tags:a"
	docker tag local/one:v1 "$BERTHD_ADDR/docker/tags:b"
	docker push -q -a "$BERTHD_ADDR/docker/tags"
	same tags "a b" "$(registry_tags docker/tags | xargs)"
}
