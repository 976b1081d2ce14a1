#!/usr/bin/env bash
# Run the OCI distribution conformance suite against a berthd of our own: with its default switches, as the coming version of
# the specification with every optional switch on, and so with TLS and a login, by token and by password.  Prints TAP;
# reports stay in build/conformance/.
#
# One of the switches pushes an image whose layer nobody pushed and wants it accepted; berthd refuses that unless
# manifest.sparse is "all", so it is for the second run.
# usage: conformance/run.sh [BERTHD]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

berthd=${1:-${BERTHD:-build/bin/berthd}}
suite=build/tools/bin/conformance
out=$PWD/build/conformance
optional=(OCI_API_BLOBS_DIGEST_HEADER OCI_API_BLOBS_UPLOAD_CANCEL OCI_API_MANIFESTS_DIGEST_HEADER
	OCI_API_MANIFESTS_TAG_PARAM OCI_DATA_SPARSE)

echo 1..4
[[ -x $suite ]] || {
	printf 'ok %s # SKIP %s is missing: make deps-test\n' 1 "$suite" 2 "$suite" 3 "$suite" 4 "$suite"
	exit 0
}

work=$(mktemp -d)
pid=
stop() {
	[[ -z $pid ]] || { kill "$pid" && wait "$pid"; } 2>/dev/null
	pid=
}
trap 'stop; rm -rf "$work"' EXIT

# start OPTION... - a berthd with a fresh root; sets address and pid
start() {
	rm -rf "$work/root"
	"$berthd" serve --root "$work/root" --listen 127.0.0.1:0 "$@" >"$work/out" 2>"$work/err" &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '^listening on ' "$work/out" && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	address=$(sed -nE 's|^listening on https?://||p' "$work/out")
	[[ $address ]] && return
	sed 's/^/# /' "$work/err"
	echo "Bail out! $berthd does not start"
	exit 1
}

# run NUMBER NAME DISABLED VARIABLE=VALUE... - one run of the suite; its own exit status does not tell failures apart.
# DISABLED is the pattern for the number of tests that may be switched off.
run() {
	local number=$1 name=$2 dir=$out/$2 log=$out/$2/log disabled=$3
	shift 3
	rm -rf "$dir"
	mkdir -p "$dir"
	env OCI_TLS=disabled "$@" OCI_REGISTRY="$address" OCI_RESULTS_DIR="$dir" OCI_REPO1="$name/one" OCI_REPO2="$name/two" \
		"$suite" >"$log" 2>&1
	local totals
	totals=$(python3 - "$dir" <<'PY'
import glob, sys, xml.etree.ElementTree as ET
n = {"passed": 0, "failed": 0, "skipped": 0, "disabled": 0, "errors": 0}
for name in glob.glob(sys.argv[1] + "/*.xml"):
    for suite in ET.parse(name).getroot().iter("testsuite"):
        tests, fail = int(suite.get("tests", 0)), int(suite.get("failures", 0))
        skip, off, err = (int(suite.get(k, 0)) for k in ("skipped", "disabled", "errors"))
        n["passed"] += tests - fail - skip - off - err
        n["failed"] += fail
        n["skipped"] += skip
        n["disabled"] += off
        n["errors"] += err
print(" ".join(f"{k}={v}" for k, v in n.items()))
PY
	)
	echo "# $name: $totals; build/conformance/$name/report.html"
	if [[ $totals =~ ^passed=[1-9][0-9]*\ failed=0\ skipped=0\ disabled=$disabled\ errors=0$ ]]; then
		echo "ok $number - conformance suite, $name switches: ${totals%% *}"
	else
		grep -i -E 'fail|error' "$log" | head -n 40 | sed 's/^/# /'
		echo "not ok $number - conformance suite, $name switches: $totals"
		failed=1
	fi
}

failed=0
start
run 1 default '[0-9]+' OCI_VERSION=1.1
stop
start --manifest.sparse=all
run 2 all 0 OCI_VERSION=dev "${optional[@]/%/=true}"
stop

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=berth \
	-addext subjectAltName=IP:127.0.0.1 -keyout "$work/key" -out "$work/cert" 2>/dev/null
echo secret | "$berthd" user add suite --auth.htpasswd="$work/users" >/dev/null
guarded=(--manifest.sparse=all --auth.htpasswd="$work/users" "--tls.certificates=[{certificate: $work/cert, key: $work/key}]"
	"--access=[{who: suite, repositories: '**', allow: [pull, push, delete]}]")
as_suite=(OCI_VERSION=dev "${optional[@]/%/=true}" OCI_TLS=enabled SSL_CERT_FILE="$work/cert" OCI_USERNAME=suite
	OCI_PASSWORD=secret)
start "${guarded[@]}"
run 3 tls-token 0 "${as_suite[@]}"
stop
start "${guarded[@]}" --auth.tokens.enabled=false
run 4 tls-basic 0 "${as_suite[@]}"
exit $failed
