#!/bin/sh
# TAP for "make check-headers".
cd "$(dirname "$0")/../.." || exit 1
echo 1..1
if out=$(make --no-print-directory check-headers 2>&1); then
	echo "ok 1 - make check-headers"
else
	echo "not ok 1 - make check-headers"
	printf '%s\n' "$out" | head -n 40 | sed 's/^/# /'
	exit 1
fi
