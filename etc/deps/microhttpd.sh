#!/bin/sh
# Provides libmicrohttpd >= 1.0.5 below PREFIX: Debian's newest source package, checked, built, linked statically, with one
# change of ours (microhttpd-pool.patch, etc/adr/0027).
#
# usage: etc/deps/microhttpd.sh PREFIX               fetches and builds it, unless it is there
#        etc/deps/microhttpd.sh --source FILE        only fetches it, into a tar archive: FILE ends in .tar.xz
#        etc/deps/microhttpd.sh --from TREE PREFIX   only builds it, without a network, of what such an archive has
#
# Debian 12's own 0.9.75 lets requests be smuggled (etc/adr/0001).  apt fetches the source of sid from the mirror that
# the machine already uses, with a configuration and state of its own, and checks the archive's signature.
set -eu

WANT=1.0.5
patch=$(cd "$(dirname "$0")" && pwd)/microhttpd-pool.patch

say() { printf 'microhttpd.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The first mirror in use, of either format of sources.
find_mirror() {
	mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\?\(http[^ ]*\).*/\2/p' /etc/apt/sources.list \
		/etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || die "no Debian mirror is configured for apt"
}

apt() {
	apt-get -q -o Dir::State="$work" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o Dir::State::status=/var/lib/dpkg/status -o Dir::Etc::sourcelist="$work/sources.list" \
		-o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root -o Acquire::Languages=none \
		-o Acquire::Check-Valid-Until=false "$@" # a mirror may lag; signature and version are checked all the same
}

# Into $work/tree, with Debian's patches.
fetch() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src"
	find_mirror
	printf 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s sid main\n' "$mirror" >"$work/sources.list"
	say "fetching the source of libmicrohttpd"
	apt update >"$work/log" 2>&1 || { cat "$work/log" >&2; die "apt could not read the index of sid"; }
	(cd "$work/src" && apt source --download-only libmicrohttpd >"$work/log" 2>&1) ||
		{ cat "$work/log" >&2; die "apt could not fetch the source"; }
	dsc=$(ls "$work"/src/*.dsc)
	version=$(sed -n 's/^Version: //p' "$dsc" | head -n 1)
	dpkg --compare-versions "$version" ge $WANT || die "sid has libmicrohttpd $version, $WANT is needed"
	dpkg-source --no-check -x "$dsc" "$work/tree" >"$work/log" 2>&1 || # apt checked it against the signed index
		{ cat "$work/log" >&2; die "the source of $version does not unpack"; }
}

# Of $work/tree, whose place is in nothing that comes out.
build() {
	say "building libmicrohttpd"
	(cd "$work/tree" && patch -p1 --batch --dry-run <"$patch" && patch -p1 --batch <"$patch") >"$work/log" 2>&1 ||
		say "microhttpd-pool.patch does not apply to this version: connections will take more memory"
	(
		cd "$work/tree"
		# Debian's patches are newer than what autotools made of the files they patch; their effect there is nil.
		for made in aclocal.m4 configure config.h.in MHD_config.h.in Makefile.in; do
			find . -name "$made" -exec touch {} +
		done
		CFLAGS="-O2 -g -ffile-prefix-map=$work/tree=libmicrohttpd -fPIE -fstack-protector-strong -fstack-clash-protection \
			-fcf-protection=full -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3" CPPFLAGS='' LDFLAGS='' \
			./configure --prefix="$prefix" --disable-shared --enable-static --enable-https=yes --disable-doc \
			--disable-examples --disable-curl --disable-tools --disable-dependency-tracking --disable-maintainer-mode
		make -j2
		make install DESTDIR="$work/stage"
	) >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2; die "libmicrohttpd does not build"; }

	# The .pc file goes last: it is what says that the rest is there.
	mkdir -p "$prefix/include" "$pc"
	cp "$work/stage$prefix"/include/*.h "$prefix/include/"
	cp "$work/stage$prefix/lib/libmicrohttpd.a" "$prefix/lib/libmicrohttpd.a.new"
	mv "$prefix/lib/libmicrohttpd.a.new" "$prefix/lib/libmicrohttpd.a"
	cp "$patch" "$prefix/lib/"
	cp "$work/stage$prefix/lib/pkgconfig/libmicrohttpd.pc" "$pc/"
	say "libmicrohttpd is in place"
}

from= prefix= archive=
case ${1-} in
--source) archive=$2 ;;
--from) from=$2 prefix=$3 ;;
*) prefix=$1 ;;
esac
if [ -n "$prefix" ]; then
	prefix=$(mkdir -p "$prefix" && cd "$prefix" && pwd)
	pc=$prefix/lib/pkgconfig
	PKG_CONFIG_PATH=$pc pkg-config --atleast-version=$WANT libmicrohttpd 2>/dev/null &&
		[ -f "$prefix/lib/libmicrohttpd.a" ] && cmp -s "$patch" "$prefix/lib/microhttpd-pool.patch" && exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "$from" ]; then
	cp -R "$from" "$work/tree"
else
	fetch
fi
if [ -n "$archive" ]; then
	tar -C "$work/tree" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --exclude=./.pc -cJf "$archive.new" .
	mv "$archive.new" "$archive"
else
	build
fi
