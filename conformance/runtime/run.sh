#!/usr/bin/env bash
# Run the OCI runtime validation suite against berth-runtime: with the v1 hierarchies of this machine and those that can
# be added (hugetlb, net_cls and net_prio), then with cgroup version 2 alone, then as an ordinary user with subordinate
# ids and without cgroups.  Prints TAP, one line a test of the suite; what each said stays in build/conformance/runtime/.
#
# Everything happens in a mount namespace of its own, below a --root of its own.
# usage: conformance/runtime/run.sh [RUNTIME [TEST...]]     LAYOUTS="v1 v2 user" says which of them
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

suite=$PWD/build/runtime-suite
out=$PWD/build/conformance/runtime
expected=$PWD/conformance/runtime/expected
runtime=$(realpath "${1:-${BERTH_RUNTIME:-build/bin/berth-runtime}}") || exit 1
shift $(($# > 0))
cgroups=/sys/fs/cgroup

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
[[ -e $suite/rootfs-amd64.tar.gz ]] || skip_all "$suite is missing: make deps-test"
((EUID == 0)) || skip_all "needs root"
[[ ${inside:-} ]] || inside=1 exec unshare -m --propagation private "$0" "$runtime" "$@"

# It borrows a controller of version 2, which tests/integ/75-runtime-cgroups.py looks at.
exec {lock}>build/cgroups.lock
flock "$lock" || exit 1

work=$(mktemp -d /tmp/runtime-suite.XXXXXX)
chmod 755 "$work"
mkdir "$work/state" "$work/tmp" "$work/suite"
cp "$runtime" "$work/berth-runtime"
mount --bind -o ro "$suite" "$work/suite" || exit 1 # read-only: it is below what is removed in the end
as=() # what makes one the user who runs the tests: nothing for root

# What a test left: containers, mounts, files.
sweep() {
	local id mount
	for id in "$work"/state/*; do
		[[ -e $id/state.json ]] && timeout 20 "${as[@]}" "$work/berth-runtime" --root "$work/state" delete --force "${id##*/}" >/dev/null 2>&1
	done
	while read -r mount; do
		umount -l "$mount"
	done < <(awk -v top="$work/" 'index($5, top) == 1 && index($5, top "suite") != 1 { print $5 }' /proc/self/mountinfo | sort -r)
	rm -rf --one-file-system "$work"/tmp/*
}

# Groups that the suite makes itself and does not remove; and the controllers that were borrowed: a hierarchy whose last
# mount goes while groups are still on their way out stays for ever.
give_back() {
	local i
	find "$cgroups" -depth -type d \( -name cgrouptest -o -name testdir -o -path '*/testdir/*' \) -exec rmdir {} \; 2>/dev/null
	for ((i = 0; i < 100; i++)); do
		awk '($1 == "hugetlb" || $1 == "net_cls") && $2 && $3 > 1 { n++ } END { exit !n }' /proc/cgroups || break
		sleep 0.1
	done
	umount "$cgroups/hugetlb" "$cgroups/net_cls,net_prio" 2>/dev/null
}
trap 'cd /; sweep; give_back; umount -R -l "$work/suite"; rm -rf --one-file-system "$work"' EXIT

# The suite calls its runtime without global options, and makes two mistakes of its own with its bundles: one that root
# of a user namespace may not enter, and one without the program that config.json names.
cat >"$work/runtime" <<SH
#!/bin/sh
if [ "\$1" = create ]; then
	bundle=. last=
	for a; do
		[ "\$last" = --bundle ] && bundle=\$a
		last=\$a
	done
	[ "\$bundle" = . ] || chmod 755 "\$bundle"
	if [ ! -e "\$bundle/runtimetest" ] && grep -q '"/runtimetest"' "\$bundle/config.json" 2>/dev/null; then
		cp "$work/suite/runtimetest" "\$bundle/"
	fi
fi
exec "$work/berth-runtime" --root "$work/state" "\$@"
SH
chmod 755 "$work/runtime"

# A tree of hierarchies with those of this machine and two more, laid over the machine's.
use_v1() {
	local tree d
	mountpoint -q "$cgroups/unified" && umount "$cgroups/unified"
	tree=$(mktemp -d "$work/tree.XXXXXX")
	mount -t tmpfs -o mode=755 none "$tree" || return
	for d in "$cgroups"/*/; do
		d=${d%/}
		mountpoint -q "$d" || continue
		mkdir "$tree/${d##*/}" && mount --bind "$d" "$tree/${d##*/}" || return
	done
	for d in hugetlb net_cls,net_prio; do
		mountpoint -q "$tree/$d" && continue
		mkdir "$tree/$d"
		mount -t cgroup -o "$d" none "$tree/$d" 2>/dev/null || rmdir "$tree/$d"
	done
	if [[ -d $tree/net_cls,net_prio ]]; then
		ln -s net_cls,net_prio "$tree/net_cls"
		ln -s net_cls,net_prio "$tree/net_prio"
	fi
	mount --rbind "$tree" "$cgroups" && umount -R -l "$tree"
}

use_v2() {
	while mountpoint -q "$cgroups"; do
		umount -R -l "$cgroups"
	done
	mount -t cgroup2 none "$cgroups"
}

# A name and subordinate ids for a user, who owns what the tests write to.
use_user() {
	local uid=64999 f
	command -v setpriv newuidmap >/dev/null || return
	for f in passwd group; do
		sed '$a\' "/etc/$f" >"$work/$f"
	done
	echo "tester:x:$uid:$uid::$work/tmp:/bin/sh" >>"$work/passwd"
	echo "tester:x:$uid:" >>"$work/group"
	echo "tester:300000:65536" >"$work/subuid"
	cp "$work/subuid" "$work/subgid"
	for f in passwd group subuid subgid; do
		[[ -e /etc/$f ]] || : >"/etc/$f"
		mount --bind "$work/$f" "/etc/$f" || return
	done
	rm -rf "$work/state"
	mkdir "$work/state"
	cp "$work/suite/runtimetest" "$work/" # the suite gives its copies the owner of this one
	chown "$uid:$uid" "$work/state" "$work/tmp" "$work/runtimetest"
	mount --bind "$work/runtimetest" "$work/suite/runtimetest" || return
	as=(setpriv --reuid $uid --regid $uid --clear-groups --inh-caps=-all)
}

# kernel_is MAJOR MINOR - or newer
kernel_is() {
	uname -r | awk -F. -v a="$1" -v b="$2" '{ exit !($1 > a || $1 == a && $2 >= b) }'
}

# holds WHERE - the condition of a line of the file `expected`
holds() {
	local caps
	caps=$((16#$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)))
	case $1 in
	any) return 0 ;;
	v2) [[ $layout == v2 ]] ;;
	user) [[ $layout == user ]] ;;
	nores) ! ((caps >> 24 & 1)) ;;
	nocfq) kernel_is 5 0 ;;
	nokmem) kernel_is 5 16 ;;
	noaa) ! [[ -e /sys/kernel/security/apparmor/profiles ]] ;;
	nohugetlb) ! [[ -e $cgroups/hugetlb/cgroup.procs ]] ;;
	nonet) ! [[ -e $cgroups/net_cls/cgroup.procs ]] ;;
	*) return 1 ;;
	esac
}

# reason NAME OK - prints why a failure of this test is expected
reason() {
	local name min where text
	while read -r name min where text; do
		[[ $name == "$1" ]] && (($2 >= min)) && holds "$where" && echo "$text" && return
	done < <(sed 's/#.*//' "$expected")
	return 1
}

# tries NAME - how often a test may be run: those that race with what they start get another chance
tries() {
	grep -qE "^$1 +0 +racy " "$expected" && echo 12 || echo 1
}

# verdict NAME STATUS - sets wrong (empty: passed) and good (assertions that hold)
verdict() {
	local tap=$dir/$1.tap bad skipped plan
	bad=$(grep -c '^not ok' "$tap")
	skipped=$(grep -ciE '^ok .*# skip' "$tap")
	good=$(($(grep -c '^ok' "$tap") - skipped))
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$tap" | awk '{ n += $1 } END { if (NR) print n }')
	wrong=
	if ((bad)); then
		wrong="$bad assertions fail: $(grep -m 1 '^not ok' "$tap" | cut -c 1-100)"
	elif (($2)); then
		wrong="exit status $2: $(head -n 1 "$dir/$1.err" | cut -c 1-120)"
	elif [[ $plan && $plan != $((good + skipped)) ]]; then
		wrong="$plan planned, $((good + skipped)) ran"
	elif [[ ! $plan && $1 != process_rlimits_fail ]]; then # which says nothing when create is refused, as it must be
		wrong="no TAP"
	elif ! ((good + skipped)); then # hooks' tests assert nothing: they print an error or none
		wrong=$(sed -n 's/^ *"error": "\([^"\\]*\).*/\1/p' "$tap" | head -n 1)
	fi
}

# run_suite LAYOUT TEST... - each in turn
run_suite() {
	layout=$1 dir=$out/$1
	shift
	local name status number=0 try why passed=0 expected_n=0
	mkdir -p "$dir"
	echo "1..$#"
	for name; do
		number=$((number + 1))
		for ((try = $(tries "$name"); try > 0; try--)); do
			RUNTIME=$work/runtime TMPDIR=$work/tmp "${as[@]}" timeout -k 5 60 ./validation/"$name" \
				>"$dir/$name.tap" 2>"$dir/$name.err" </dev/null {lock}>&-
			status=$?
			verdict "$name" $status
			[[ $wrong ]] || break
			((try > 1)) && echo "# once more: $name: $wrong" && sweep
		done
		if [[ ! $wrong ]]; then
			echo "ok $number - $layout $name: $good assertions"
			passed=$((passed + 1))
		elif why=$(reason "$name" "$good"); then
			echo "ok $number - $layout $name # SKIP $good assertions hold; $why"
			expected_n=$((expected_n + 1))
		else
			echo "not ok $number - $layout $name: $good assertions hold, $wrong"
			failed=$((failed + 1))
		fi
		sweep
	done
	echo "# $layout: $passed passed, $failed failed, $expected_n expected to fail" | tee -a "$out/totals"
}

cd "$work/suite" || exit 1
mkdir -p "$out"
: >"$out/totals"
mapfile -t tests < <(ls validation)
(($#)) && tests=("$@")
failed=0
for layout in ${LAYOUTS:-v1 v2 user}; do
	[[ $layout != v1 || -e $cgroups/memory/cgroup.procs || -e $cgroups/pids/cgroup.procs ]] || {
		echo "1..0 # SKIP no v1 hierarchies here"
		continue
	}
	"use_$layout" || {
		echo "Bail out! cannot prepare $layout"
		exit 1
	}
	run_suite "$layout" "${tests[@]}"
	[[ $layout == v1 ]] && give_back
done
((failed == 0))
