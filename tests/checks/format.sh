#!/bin/sh
# TAP for "make check-format".
cd "$(dirname "$0")/../.." || exit 1
echo 1..1
if out=$(make --no-print-directory check-format 2>&1); then
	echo "ok 1 - make check-format"
else
	echo "not ok 1 - make check-format"
	printf '%s\n' "$out" | head -n 40 | sed 's/^/# /'
	exit 1
fi
