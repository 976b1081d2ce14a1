#!/usr/bin/env bash
# Start-up of berth-runtime beside crun, runc and the floor: the same bundle, one run of each in turn.
#
# The bundle has six namespaces, the v1 cgroups of the machine and podman's default seccomp profile; podman is asked for
# it once, with a runtime that only copies config.json.
# usage: tests/bench/runtime.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-100}
build=$PWD/build/release/tests/bench
berth=$PWD/build/bin/berth-runtime
((EUID == 0)) || { echo "needs root" >&2; exit 2; }
# crun 1.8 refuses a version 2 hierarchy that has controllers beside version 1
[[ ${inside:-} ]] || inside=1 exec unshare -m --propagation private "$0" "$@"
mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified

work=$(mktemp -d /tmp/runtime-bench.XXXXXX)
trap 'rm -rf --one-file-system "$work"' EXIT
bundle=$work/bundle
mkdir -p "$bundle/rootfs"/{bin,proc,sys,dev,etc} "$work"/state-{berth,crun,runc}
cp /bin/busybox "$bundle/rootfs/bin/"
for applet in true sh sleep; do ln -s busybox "$bundle/rootfs/bin/$applet"; done

cat >"$work/copy" <<SH
#!/bin/sh
for a; do [ "\$last" = --bundle ] && cp "\$a/config.json" "$work/podman.json"; last=\$a; done
exit 1
SH
chmod +x "$work/copy"
pod() { podman --root "$work/storage" --runroot "$work/runroot" --storage-driver vfs --cgroup-manager cgroupfs --events-backend=none "$@"; }
export HOME=$work XDG_RUNTIME_DIR=$work
tar -C "$bundle/rootfs" -c . | pod import -q - bench >/dev/null
pod --runtime "$work/copy" run --rm --network none bench true >/dev/null 2>&1 || true
pod rm -fa >/dev/null 2>&1 || true

config() {
	jq --argjson args "$1" --slurpfile pod "$work/podman.json" -n '{
		ociVersion: "1.0.2", hostname: "bench", root: {path: "rootfs"},
		process: {user: {uid: 0, gid: 0}, args: $args, env: ["PATH=/bin"], cwd: "/", noNewPrivileges: true,
			capabilities: $pod[0].process.capabilities},
		mounts: ([$pod[0].mounts[] | select(.type != "bind" and .type != "cgroup")] + [
			{destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev"]}]),
		linux: {namespaces: [{type: "pid"}, {type: "network"}, {type: "ipc"}, {type: "uts"}, {type: "mount"}, {type: "cgroup"}],
			cgroupsPath: "/bench", seccomp: $pod[0].linux.seccomp,
			maskedPaths: $pod[0].linux.maskedPaths, readonlyPaths: $pod[0].linux.readonlyPaths}}' >"$bundle/config.json"
}

command_of() { # RUNTIME ARGUMENT...
	echo "$1" --root "$work/state-${1##*/}" "${@:2}"
}

show() {
	printf '%-22s %8s %8s %8s  %6s  %8s\n' "$1" "median ms" "lowest" "highest" ratio "KiB"
	awk '{ n = split($6, p, "/"); printf "%-22s %9s %8s %8s  %6s  %8s\n", p[n], $1, $2, $3, $4, $5 }'
}

ln -s "$berth" "$work/berth"
config '["/bin/true"]'
"$berth" --root "$work/state-berth" run --bundle "$bundle" warm # keeps the filter
filter=$work/filter
python3 - "$work/state-berth/~seccomp" "$filter" <<'PY'
import os, struct, sys
data = open(os.path.join(sys.argv[1], os.listdir(sys.argv[1])[0]), "rb").read()
key, insns = struct.unpack_from("=IH", data, 8)
open(sys.argv[2], "wb").write(data[16 + key:])
print(f"# the filter has {insns} instructions, config.json names {data[16:16 + key].count(0)} bytes of key parts")
PY
echo "# $(uname -r), $(nproc) CPUs, $rounds rounds; $("$berth" --version | head -n 1), $(crun --version | head -n 1), $(runc --version | head -n 1)"

"$build/rounds" "$rounds" $(command_of runc run --bundle "$bundle" "b{}") ::: $(command_of crun run --bundle "$bundle" "b{}") ::: \
	$(command_of "$work/berth" run --bundle "$bundle" "b{}") ::: \
	"$build/floor" "$bundle/rootfs" "$filter" "floor{}" /bin/true | tee "$work/run" | show "run"

config '["/bin/sleep", "1000000"]'
for r in runc crun "$work/berth"; do
	jq ".linux.cgroupsPath = \"/bench-${r##*/}\"" "$bundle/config.json" >"$bundle/c" && mv "$bundle/c" "$bundle/config.json"
	$(command_of "$r" run --detach --bundle "$bundle" long) </dev/null >/dev/null 2>&1
done
"$build/rounds" "$rounds" $(command_of runc exec long /bin/true) ::: $(command_of crun exec long /bin/true) ::: \
	$(command_of "$work/berth" exec long /bin/true) | tee "$work/exec" | show "exec"
for r in runc crun "$work/berth"; do
	$(command_of "$r" delete --force long)
done

awk -v goal_runc=0.25 -v goal_crun=0.45 -v goal_kib=2560 '
	/runc$/ { runc = $1 } /crun$/ { crun = $1 }
	/berth$/ { printf "# %s: %.3f of runc (goal %.2f), %.3f of crun (goal %.2f), peak %d KiB (goal %d)\n",
		FILENAME ~ /exec$/ ? "exec" : "run", $1 / runc, goal_runc, $1 / crun, goal_crun, $5, goal_kib }' "$work/run" "$work/exec"
