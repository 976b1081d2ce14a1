#!/bin/bash
# Static analysis: gcc -fanalyzer, clang-tidy and cppcheck over the sources given; exit 1 if any of them has a finding.
# Findings that are wrong are waived where they stand, with the reason.
#
# usage: etc/tools/analyze.sh SOURCE... -- COMPILER-FLAG...
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

sources=()
while [[ $# -gt 0 && $1 != -- ]]; do
	sources+=("$1")
	shift
done
shift
flags=("$@")
bad=0

# gcc 12's analyzer does not know of the cleanup attribute's effect on early returns in these checks.
gcc_off=(-Wno-analyzer-malloc-leak -Wno-analyzer-fd-leak -Wno-analyzer-use-of-uninitialized-value)
for f in "${sources[@]}"; do
	gcc "${flags[@]}" -O1 -fanalyzer "${gcc_off[@]}" -Werror -c -o /dev/null "$f" || { echo "gcc -fanalyzer: $f"; bad=1; }
	clang-tidy-14 --quiet "$f" -- "${flags[@]}" 2>/dev/null || { echo "clang-tidy: $f"; bad=1; }
done
# cppcheck 2.10 breaks off at statement expressions (MIN), takes a variable set through a pointer by a function that it
# does not see for unset, and does not find libmicrohttpd's header.
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
	--suppress=missingIncludeSystem --suppress=internalAstError --suppress=uninitStructMember --suppress=uninitvar \
	--suppress=preprocessorErrorDirective --suppress='*:/usr/include/*' -I. \
	-D__linux__ -D__x86_64__ "${sources[@]}" || { echo "cppcheck has findings"; bad=1; }
exit $bad
