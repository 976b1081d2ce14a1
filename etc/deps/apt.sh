#!/bin/sh
# Installs the Debian packages that are missing for building, packaging, testing or measuring.
#
# usage: etc/deps/apt.sh build|package|test|bench
set -eu

build='gcc make pkg-config libjansson-dev liblmdb-dev libssl-dev libgnutls28-dev libyaml-dev libcrypt-dev libcjose-dev
	libcurl4-openssl-dev libldap-dev libarchive-dev libisal-dev libzstd-dev libseccomp-dev libsystemd-dev dpkg-dev ca-certificates'
package="$build debhelper dpkg-dev git"
test="$build libcmocka-dev clang-14 libclang-rt-14-dev clang-tidy-14 clang-format-14 clang-tools-14 cppcheck valgrind
	bats podman skopeo buildah containerd docker.io runc crun jq curl python3 python3-venv strace iproute2 uidmap
	xz-utils procps wget prometheus busybox-static criu slapd ldap-utils nginx-light nodejs
	e2fsprogs zstd docker-registry fuse-overlayfs iptables nftables conntrack containernetworking-plugins dnsmasq-base passt xfsprogs
	systemd mandoc man-db groff-base bash-completion fish $package lintian mmdebstrap"
command -v npm >/dev/null || test="$test npm" # newer packages of nodejs have it
bench="$test wrk"

case ${1-} in
build) want=$build ;;
package) want=$package ;;
test) want=$test ;;
bench) want=$bench ;;
*) echo "usage: $0 build|package|test|bench" >&2; exit 2 ;;
esac

missing=
# shellcheck disable=SC2086 # lists of names
installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $want 2>/dev/null | sed -n 's/^ii  *//p') || true
for p in $want; do
	case "
$installed
" in
	*"
$p
"*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "berth needs packages that are not installed; as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive

# Tests start servers of their own: none of these packages is to start one on this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM
fi

apt-get -q update >/dev/null
# shellcheck disable=SC2086
apt-get -q -y install --no-install-recommends $missing >/dev/null
