#!/bin/sh
# Makes a container image of berthd: the program, the libraries that it is linked with or loads here, certificates of
# authorities, and an account; nothing else, no shell either.  berth takes it in, which checks all of it, and writes the
# archive.
#
# usage: etc/tools/image.sh BIN NEEDS OUT.tar NAME:TAG
#        (BIN: the directory of berthd and berth; NEEDS: a program that is linked with what berthd loads)
#
# The same programs and libraries give the same bytes.
set -eu

bin=$1 needs=$2 out=$3 name=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
files=$work/files layout=$work/layout
mkdir -p "$layout/blobs/sha256" "$files/usr/bin" "$files/etc/ssl/certs" "$files/var/lib/berthd" "$files/tmp" "$files/lib64"
ln -s usr/lib "$files/lib"

strip -o "$files/usr/bin/berthd" "$bin/berthd"
# "libx.so => /lib/.../libx.so (0x..)", and the loader by its path alone
{ ldd "$bin/berthd" && ldd "$needs"; } | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
	case $library in
	/lib64/*) to=$library ;;
	*) to=/usr/lib/${library#*/lib/} ;;
	esac
	mkdir -p "$files${to%/*}"
	cp -L "$library" "$files$to"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$files/etc/ssl/certs/"
cat >"$files/etc/passwd" <<END
root:x:0:0:root:/:/sbin/nologin
berthd:x:999:999:OCI registry:/var/lib/berthd:/sbin/nologin
END
printf 'root:x:0:\nberthd:x:999:\n' >"$files/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$files/etc/nsswitch.conf"
chmod 1777 "$files/tmp"

blob() { # stdin becomes a blob: prints its digest and size
	cat >"$work/blob"
	hex=$(sha256sum "$work/blob" | cut -d' ' -f1)
	size=$(stat -c %s "$work/blob")
	mv "$work/blob" "$layout/blobs/sha256/$hex"
	echo "sha256:$hex $size"
}

version=$("$bin/berthd" version)
version=${version#berthd }
tar -C "$files" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
diff=sha256:$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
read -r layer layer_size <<END
$(gzip -n9 <"$work/layer.tar" | blob)
END
# Started as root it makes its directory in the volume, and becomes berthd.
read -r config config_size <<END
$(blob <<JSON
{
  "architecture": "$(dpkg --print-architecture)",
  "os": "linux",
  "config": {
    "Entrypoint": ["/usr/bin/berthd"],
    "Cmd": ["serve"],
    "Env": ["PATH=/usr/bin", "BERTHD_ROOT=/var/lib/berthd/registry", "BERTHD_LISTEN=0.0.0.0:5000", "BERTHD_PROCESS_USER=berthd"],
    "ExposedPorts": {"5000/tcp": {}},
    "Volumes": {"/var/lib/berthd": {}},
    "StopSignal": "SIGTERM",
    "Labels": {"org.opencontainers.image.title": "berthd", "org.opencontainers.image.version": "$version"}
  },
  "rootfs": {"type": "layers", "diff_ids": ["$diff"]}
}
JSON
)
END
read -r manifest manifest_size <<END
$(blob <<JSON
{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "$config", "size": $config_size},
  "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "$layer", "size": $layer_size}]
}
JSON
)
END
echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
cat >"$layout/index.json" <<JSON
{
  "schemaVersion": 2,
  "manifests": [{
    "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "$manifest", "size": $manifest_size,
    "annotations": {"org.opencontainers.image.ref.name": "$name", "io.containerd.image.name": "$name"}
  }]
}
JSON

tar -C "$layout" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$work/layout.tar" .
"$bin/berth" --root "$work/images" --state "$work/state" load -i "$work/layout.tar"
mkdir -p "$(dirname "$out")"
"$bin/berth" --root "$work/images" --state "$work/state" save -o "$out" "$name"
echo "$out: $name@$manifest"
