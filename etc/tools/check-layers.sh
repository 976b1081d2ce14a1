#!/bin/sh
# The direction of dependencies, and one third-party header in one file: prints what breaks a rule, exit 1 if anything does.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

# forbid WHAT PATTERN PATH... - no line of these files may match
forbid() {
	what=$1 pattern=$2
	shift 2
	if grep -rnE --include='*.c' --include='*.h' -e "$pattern" "$@" 2>/dev/null; then
		echo "check-layers: $what" >&2
		bad=1
	fi
}

# only PATTERN FILE... - lines that match may stand in these files only
only() {
	pattern=$1
	shift
	for f in $(grep -rlE --include='*.c' --include='*.h' -e "$pattern" base storage gc auth server runtime tests 2>/dev/null); do
		case " $* " in
		*" $f "*) ;;
		*) echo "$f: includes $pattern, which only $* may" >&2; bad=1 ;;
		esac
	done
}

forbid 'base looks at nobody' '#include "(server|auth|gc|runtime|storage)/' base
forbid 'auth looks at base only' '#include "(server|gc|runtime|storage)/' auth
forbid 'gc looks at storage and base' '#include "(server|auth|runtime)/' gc
forbid 'storage looks at base only' '#include "(server|auth|gc|runtime)/' storage
forbid 'runtime looks at base and storage only' '#include "(server|auth|gc)/' runtime
forbid 'server and runtime never see each other' '#include "runtime/' server auth gc storage base
forbid 'between clone and exec there is neither memory nor stdio' \
	'(^|[^_a-z])(malloc|calloc|realloc|free|strdup|printf|fprintf|snprintf|fopen|arena_[a-z]+|sbuf_[a-z]+|err_[a-z]+) ?\(' \
	runtime/oci/init
forbid 'runtime/net looks at base only' '#include "(storage/|runtime/(oci|cli|image|shim)/)' runtime/net
forbid 'storage changes disks through base/sys.h' \
	'(^|[^_a-z])(fsync|fdatasync|renameat|linkat|unlinkat|openat|ftruncate|pwrite|mkdirat|fchmod|fchmodat) ?\(' storage
forbid 'images change disks through base/sys.h' \
	'(^|[^_a-z])(fsync|fdatasync|syncfs|renameat2?|linkat|unlinkat|openat2?|ftruncate|pwrite|mkdirat|mknodat|symlinkat|fchmod|fchmodat|fchownat|utimensat|setxattr|fsetxattr) ?\([^0-9]' runtime/image
only '<lmdb.h>' storage/kv.c
only '<jansson.h>' base/jv.c
only '<openssl/' base/base64.c base/ed25519.c base/hash.c base/secret.c tests/bench/request.h
only '<microhttpd.h>' server/http.c
only '<crypt.h>' auth/htpasswd.c
only '<cjose/' auth/jose.c
only '<gnutls/' server/tls.c
only '<yaml.h>' server/conf_file.c
only '<seccomp.h>' runtime/oci/seccomp/compile.c server/confine.c
only '<archive' runtime/image/tar.c
only '<isa-l/' runtime/image/inflate.c
only '<zstd.h>' runtime/image/zstd.c
only '<systemd/' runtime/systemd/main.c
only '<curl/' auth/fetch.c runtime/image/transfer.c
only '<ldap.h>' auth/directory.c
only '<linux/landlock.h>' server/confine.c
exit $bad
