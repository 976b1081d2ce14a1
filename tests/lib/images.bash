# shellcheck shell=bash
# images.bash - small images, made here from nothing: no network, no base image, no clock.
#
# The same name always gives the same bytes and so the same digests; two names share no layer.
# Each image has two layers: /etc/motd (text) and /data/blob (64 KiB that do not compress).

# image_bytes SEED COUNT - COUNT bytes that look random and are the same for the same SEED
image_bytes() {
	head -c "$2" /dev/zero |
		openssl enc -aes-128-ctr -nosalt -K "$(printf %s "$1" | sha256sum | head -c 32)" \
			-iv 00000000000000000000000000000000 2>/dev/null
}

# image_rootfs DIR NAME [ARCH] - the files of an image, one directory per layer
image_rootfs() {
	mkdir -p "$1/1/etc" "$1/2/data"
	printf 'image %s for %s\n' "$2" "${3:-amd64}" >"$1/1/etc/motd"
	image_bytes "$2 ${3:-amd64}" 65536 >"$1/2/data/blob"
	find "$1" -exec touch -d @0 {} +
}

# image_data_sha256 NAME [ARCH] - what /data/blob of the image must hash to
image_data_sha256() {
	image_bytes "$1 ${2:-amd64}" 65536 | sha256sum | cut -d' ' -f1
}

image_tar_() {
	tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - .
}

# image_store LAYOUT - stdin becomes a blob of the layout; prints "DIGEST SIZE"
image_store() {
	local tmp hex
	mkdir -p "$1/blobs/sha256"
	tmp=$(mktemp "$1/new.XXXXXX")
	cat >"$tmp"
	hex=$(sha256sum "$tmp" | cut -d' ' -f1)
	chmod 644 "$tmp"
	mv "$tmp" "$1/blobs/sha256/$hex"
	echo "sha256:$hex $(stat -c %s "$1/blobs/sha256/$hex")"
}

# image_manifest LAYOUT NAME [ARCH] - store config, layers and manifest; prints "DIGEST SIZE"
image_manifest() {
	local layout=$1 name=$2 arch=${3:-amd64} files n digest size diff_ids=() layers=()
	mkdir -p "$layout"
	files=$(mktemp -d "$layout/files.XXXXXX")
	image_rootfs "$files" "$name" "$arch"
	for n in 1 2; do
		diff_ids+=("sha256:$(image_tar_ "$files/$n" | sha256sum | cut -d' ' -f1)")
		read -r digest size < <(image_tar_ "$files/$n" | gzip -n | image_store "$layout")
		layers+=("{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"$digest\",\"size\":$size}")
	done
	rm -rf "$files"
	read -r digest size < <(printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Cmd":["/hello"],"Labels":{"name":"%s"}},"rootfs":{"type":"layers","diff_ids":["%s","%s"]},"history":[{"created":"1970-01-01T00:00:00Z"},{"created":"1970-01-01T00:00:00Z"}]}' \
		"$arch" "$name" "${diff_ids[@]}" | image_store "$layout")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[%s,%s]}' \
		"$digest" "$size" "${layers[@]}" | image_store "$layout"
}

# image_layout_ LAYOUT MEDIA-TYPE DIGEST SIZE - the layout's entry point, tagged "latest"
image_layout_() {
	printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"%s","digest":"%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}' \
		"$2" "$3" "$4" >"$1/index.json"
}

# image_layout LAYOUT NAME - OCI layout with one image tagged "latest"; prints its digest
image_layout() {
	local digest size
	read -r digest size < <(image_manifest "$1" "$2")
	image_layout_ "$1" application/vnd.oci.image.manifest.v1+json "$digest" "$size"
	echo "$digest"
}

# image_index LAYOUT NAME - OCI layout with an index of linux/amd64 and linux/arm64; prints its digest
image_index() {
	local arch digest size entries=()
	for arch in amd64 arm64; do
		read -r digest size < <(image_manifest "$1" "$2" "$arch")
		entries+=("{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"$digest\",\"size\":$size,\"platform\":{\"architecture\":\"$arch\",\"os\":\"linux\"}}")
	done
	read -r digest size < <(printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,%s]}' \
		"${entries[@]}" | image_store "$1")
	image_layout_ "$1" application/vnd.oci.image.index.v1+json "$digest" "$size"
	echo "$digest"
}

# layout_check LAYOUT DIGEST... - all the digests are in the layout, and every blob of it, whoever
# wrote it, hashes to its name
layout_check() {
	local layout=$1 digest file
	shift
	for digest; do
		[[ -f $layout/blobs/sha256/${digest#sha256:} ]] || {
			say "$layout has no $digest"
			return 1
		}
	done
	for file in "$layout"/blobs/sha256/*; do
		same "bytes of $file" "${file##*/}" "$(file_sha256 "$file")" || return
	done
}

# layout_digests LAYOUT - every digest it holds, sorted
layout_digests() {
	(cd "$1/blobs/sha256" && printf 'sha256:%s\n' * | sort)
}
