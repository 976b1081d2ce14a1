#!/bin/sh
# Compiles each header by itself: it includes what it needs.
#
# usage: etc/tools/check-headers.sh CC FLAG...
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
for h in base/*.h storage/*.h gc/*.h auth/*.h server/*.h runtime/*/*.h runtime/*/*/*.h; do
	[ -e "$h" ] || continue
	printf '#include "%s"\n' "$h" | "$@" -fsyntax-only -x c - || bad=1
done
exit $bad
