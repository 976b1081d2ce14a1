# shellcheck shell=bash
# berthd.bash - start, watch and stop a berthd of one's own.
#
#   setup_file()    { berthd_setup; berthd_start; }
#   teardown_file() { berthd_teardown; }
#   @test "..."     { need crane; crane push ... "$BERTHD_ADDR/repo:tag"; }
#
# Everything lives below $WORK, made by berthd_setup and removed by berthd_teardown; processes are
# ended by pid.  $BERTHD names another binary or a wrapper (valgrind) than build/bin/berthd.
# Functions return non-zero and say why on stderr, which bats turns into a failure.

BERTHD_TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
PATH=$BERTHD_TOP/build/tools/bin:$PATH
WAIT_S=60 # bound of every wait: slow tools (valgrind, tsan) must fit

# need PROGRAM... - skip the test unless all of them are installed
need() {
	local p
	for p; do
		command -v "$p" >/dev/null || skip "$p is not installed"
	done
}

need_root() {
	((EUID == 0)) || skip "needs root"
}

say() {
	printf '%s\n' "$*" >&2
}

# wait_until COMMAND... - poll until the command succeeds, at most $WAIT_S seconds
wait_until() {
	local end=$((SECONDS + WAIT_S))
	until "$@"; do
		if ((SECONDS >= end)); then
			say "timed out: $*"
			return 1
		fi
		sleep 0.02
	done
}

# same WHAT WANT GOT
same() {
	[[ $2 == "$3" ]] && return
	say "$1: expected '$2', got '$3'"
	return 1
}

# has WHAT TEXT LINE - LINE is one of the lines of TEXT
has() {
	grep -Fxq -e "$3" <<<"$2" && return
	say "$1: no line '$3' in:"
	say "$2"
	return 1
}

has_not() {
	! grep -Fxq -e "$3" <<<"$2" && return
	say "$1: unexpected line '$3' in:"
	say "$2"
	return 1
}

file_sha256() {
	sha256sum "$@" | cut -d' ' -f1
}

## daemons

# daemon_start NAME COMMAND... - run it in the background with $WORK/NAME.{pid,out,err,status}
daemon_start() {
	local name=$1
	shift
	rm -f "$WORK/$name.pid" "$WORK/$name.status"
	# fds 3 and up belong to bats, which waits until the last writer is gone
	(
		"$@" >"$WORK/$name.out" 2>>"$WORK/$name.err" &
		echo $! >"$WORK/$name.pid"
		status=0
		wait $! || status=$? # bats ends shells at the first failure
		echo $status >"$WORK/$name.status"
	) </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- &
	disown
	wait_until test -s "$WORK/$name.pid"
}

# daemon_signal NAME SIGNAL - send it and wait until the process is gone; sets DAEMON_STATUS
daemon_signal() {
	[[ -s $WORK/$1.pid ]] || return 0
	kill "-$2" "$(<"$WORK/$1.pid")" 2>/dev/null
	if ! wait_until test -s "$WORK/$1.status"; then
		kill -KILL "$(<"$WORK/$1.pid")" 2>/dev/null
		return 1
	fi
	DAEMON_STATUS=$(<"$WORK/$1.status")
	rm -f "$WORK/$1.pid"
}

## berthd

berthd_setup() {
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/berth-test.XXXXXX")
	BERTHD_ROOT=$WORK/root
	BERTHD_LOG=$WORK/berthd.err
	export WORK BERTHD_ROOT BERTHD_LOG
}

berthd_teardown() {
	local status=0
	berthd_stop || status=1
	# a mount that is still there must not be emptied through
	rm -rf --one-file-system "${WORK:?}"
	return $status
}

berthd_ready_() {
	[[ -s $WORK/berthd.status ]] && return
	grep -q '^listening on http://' "$WORK/berthd.out" 2>/dev/null
}

# berthd_start [serve options...] - sets BERTHD_PID, BERTHD_ADDR (127.0.0.1:PORT), BERTHD_URL
berthd_start() {
	daemon_start berthd "${BERTHD:-$BERTHD_TOP/build/bin/berthd}" serve \
		--root "$BERTHD_ROOT" --listen "${BERTHD_LISTEN:-127.0.0.1:0}" "$@" || return
	wait_until berthd_ready_ || return
	if [[ -s $WORK/berthd.status ]]; then
		say "berthd exited with status $(<"$WORK/berthd.status"):"
		cat "$BERTHD_LOG" >&2
		return 1
	fi
	BERTHD_PID=$(<"$WORK/berthd.pid")
	BERTHD_URL=$(sed -n 's/^listening on //p' "$WORK/berthd.out")
	BERTHD_ADDR=${BERTHD_URL#http://}
	export BERTHD_PID BERTHD_URL BERTHD_ADDR
}

# berthd_stop - SIGTERM drains and exits 0; nothing to do if it is not running
berthd_stop() {
	[[ -s $WORK/berthd.pid ]] || return 0
	daemon_signal berthd TERM || return
	same "exit status of berthd after SIGTERM" 0 "$DAEMON_STATUS" && return
	tail -n 40 "$BERTHD_LOG" >&2
	return 1
}

berthd_kill() {
	daemon_signal berthd KILL
}

# The access log, the only place that knows its form: one logfmt line per request, such as
#   ... ev=request ... method=POST path="/v2/b/blobs/uploads/?mount=..." status=201 ...
# berthd_requests METHOD PATH-REGEX STATUS-REGEX - number of matching requests so far
berthd_requests() {
	grep -E 'ev=request( |$)' "$BERTHD_LOG" | grep -E "(^| )method=$1( |$)" |
		grep -E "(^| )path=\"?$2\"?( |$)" | grep -cE "(^| )status=$3( |$)"
}

berthd_served_() {
	(($(berthd_requests "$1" "$2" "$3") > ${4:-0}))
}

# berthd_served METHOD PATH-REGEX STATUS-REGEX [N] - wait until more than N (0) such requests are
# logged: the line may come after the client has its answer
berthd_served() {
	WAIT_S=10 wait_until berthd_served_ "$@" && return
	say "not in the access log: $1 $2 $3; it ends with:"
	tail -n 20 "$BERTHD_LOG" >&2
	return 1
}

## what the registry holds, asked with curl alone

MANIFEST_TYPES='application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'
MANIFEST_TYPES+=', application/vnd.docker.distribution.manifest.v2+json'
MANIFEST_TYPES+=', application/vnd.docker.distribution.manifest.list.v2+json'

# registry_status METHOD PATH - the status code
registry_status() {
	local head=()
	[[ $1 == HEAD ]] && head=(--head)
	curl -s -o /dev/null -w '%{http_code}' "${head[@]}" -X "$1" -H "Accept: $MANIFEST_TYPES" \
		"$BERTHD_URL/v2/$2"
}

# registry_header NAME PATH - a header of the answer to HEAD
registry_header() {
	curl -sf --head -H "Accept: $MANIFEST_TYPES" "$BERTHD_URL/v2/$2" |
		tr -d '\r' | sed -n "s/^$1: //Ip"
}

# registry_digest REPO TAG
registry_digest() {
	registry_header Docker-Content-Digest "$1/manifests/$2"
}

registry_manifest() {
	curl -sf -H "Accept: $MANIFEST_TYPES" "$BERTHD_URL/v2/$1/manifests/$2"
}

# registry_tags REPO - one tag a line (first page)
registry_tags() {
	curl -sf "$BERTHD_URL/v2/$1/tags/list" | jq -r '(.tags // [])[]'
}

# registry_check REPO REFERENCE - fetch the manifest and everything below it; every body must hash
# to its digest and have its descriptor's size
registry_check() {
	local file digest size type got
	file=$(mktemp "$WORK/manifest.XXXXXX") || return
	registry_manifest "$1" "$2" >"$file" || { say "no manifest $1 $2"; return 1; }
	if [[ $2 == sha256:* ]]; then
		same "bytes of manifest $1@$2" "$2" "sha256:$(file_sha256 "$file")" || return
	else
		same "bytes of manifest $1:$2" "$(registry_digest "$1" "$2")" \
			"sha256:$(file_sha256 "$file")" || return
	fi
	while read -r type digest size; do
		if [[ $type == manifest ]]; then
			same "size of $digest" "$size" \
				"$(registry_header Content-Length "$1/manifests/$digest")" || return
			registry_check "$1" "$digest" || return
		else
			got=$(curl -sf "$BERTHD_URL/v2/$1/blobs/$digest" | tee >(wc -c >"$file.n") |
				sha256sum | cut -d' ' -f1)
			same "bytes of blob $1@$digest" "$digest" "sha256:$got" || return
			wait_until test -s "$file.n"
			same "size of $digest" "$size" "$(tr -d ' ' <"$file.n")" || return
			rm -f "$file.n"
		fi
	done < <(jq -r '((.manifests // [])[] | "manifest \(.digest) \(.size)"),
		((.config // empty), (.layers // [])[] | "blob \(.digest) \(.size)")' "$file")
	rm -f "$file"
}

# mounted FROM TO N - N blobs came into TO by mounting them from FROM
mounted() {
	berthd_served POST "/v2/$2/blobs/uploads/\?[^\" ]*from=${1//\//(\/|%2[Ff])}[^\" ]*" 201 $(($3 - 1))
}
