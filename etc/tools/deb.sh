#!/bin/sh
# Makes Debian's packages: a source package of what git has here, built by dpkg-buildpackage.
#
# usage: etc/tools/deb.sh OUT LIBMICROHTTPD.tar.xz
#
# debian/ is etc/debian, and libmicrohttpd/ what the archive has (etc/debian/README.source).  OUT is emptied first.
set -eu

out=$1 library=$2
version=$(dpkg-parsechangelog -l etc/debian/changelog -S Version)
upstream=${version%-*}
made=$(sed -n 's/^VERSION := //p' Makefile)
[ "$upstream" = "$made" ] || { echo "deb.sh: etc/debian/changelog is of $upstream, Makefile of $made" >&2; exit 1; }

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
tree=$out/berth-$upstream
epoch=$(dpkg-parsechangelog -l etc/debian/changelog -S Timestamp)

pack() { tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX "$@"; }

# What git knows, as it is in the work tree; what was deleted there is left out.
git -c safe.directory="$PWD" ls-files --deduplicate -z | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh |
	pack --null -T - --transform "s,^,berth-$upstream/," -cJf "$out/berth_$upstream.orig.tar.xz"
cp "$library" "$out/berth_$upstream.orig-libmicrohttpd.tar.xz"

tar -C "$out" -xJf "$out/berth_$upstream.orig.tar.xz"
mkdir "$tree/libmicrohttpd"
tar -C "$tree/libmicrohttpd" -xJf "$library"
cp -R etc/debian "$tree/debian"

cd "$tree"
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL
dpkg-buildpackage -us -uc -sa -j2 >"$out/log" 2>&1 || { tail -n 60 "$out/log" >&2; echo "deb.sh: $out/log has all of it" >&2; exit 1; }
ls "$out"/*.deb
