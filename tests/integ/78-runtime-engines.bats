#!/usr/bin/env bats
# containerd (ctr), podman and buildah with berth-runtime beside runc: the same commands, the same answers.

load ../lib/berthd
load ../lib/engines

ctrd() {
	ctr -a "$WORK/containerd.sock" "$@"
}

containerd_ready_() {
	[[ -s $WORK/containerd.status ]] || ctrd version >/dev/null 2>&1
}

setup_file() {
	berthd_setup
	((EUID == 0)) && command -v runc >/dev/null || return 0
	export HOME=$WORK XDG_RUNTIME_DIR=$WORK/run
	mkdir -p "$XDG_RUNTIME_DIR"
	engine_image
	# The limits that podman sets by default cannot be raised everywhere; and it asks only runtimes that it knows for JSON.
	cat >"$WORK/containers.conf" <<-TOML
		[containers]
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		[engine]
		runtime_supports_json = ["crun", "runc", "berth-runtime"]
	TOML
	export CONTAINERS_CONF=$WORK/containers.conf
	command -v containerd >/dev/null || return 0
	cat >"$WORK/containerd.toml" <<-TOML
		version = 2
		root = "$WORK/containerd-root"
		state = "$WORK/containerd-state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$WORK/containerd.sock"
	TOML
	daemon_start containerd containerd -c "$WORK/containerd.toml"
	wait_until containerd_ready_
	[[ ! -s $WORK/containerd.status ]] || { tail -n 20 "$WORK/containerd.err" >&2; return 1; }
}

teardown_file() {
	local id
	for id in $(ctrd tasks list -q 2>/dev/null); do
		ctrd tasks rm -f "$id" >/dev/null 2>&1 || true
	done
	daemon_signal containerd TERM
	if command -v podman >/dev/null; then
		pod rm -fa -t 0 >/dev/null 2>&1 || true
		pod pod rm -fa -t 0 >/dev/null 2>&1 || true
	fi
	find /sys/fs/cgroup -depth -type d \( -path '*/libpod_parent*' -o -path '*/default/*' -o -name default -o -path '*/buildah*' \) \
		-exec rmdir {} \; 2>/dev/null || true
	awk -v top="$WORK/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l 2>/dev/null
	berthd_teardown
}

setup() {
	need_root
	need runc busybox
	cd "$WORK"
}

binary() {
	if [[ $RUNTIME == berth ]]; then echo "$BERTH"; else command -v runc; fi
}

# same_session NAME - the session of that name with both; the runtime is named in the commands
same_session() {
	compare "$1" "$1" >/dev/null 2>&1 || true
	sed -i -e 's/\(runc\|berth\)-/R-/g' "$WORK/$1.runc" "$WORK/$1.berth"
	diff -u --label runc --label berth-runtime "$WORK/$1.runc" "$WORK/$1.berth" >&2
}

## containerd


ctr_run() {
	it ctr -a "$WORK/containerd.sock" run --runc-binary "$(binary)" --rm --rootfs "$@"
}

ctr_session() {
	local root=$WORK/rootfs
	rm -rf "$root"
	mkdir "$root"
	tar -C "$root" -xf "$WORK/image.tar"
	ctr_run "$root" "$RUNTIME-1" /bin/echo hello
	ctr_run "$root" "$RUNTIME-2" /bin/sh -c 'exit 7'
	ctr_run "$root" "$RUNTIME-3" /nope
	ctr_run "$root" "$RUNTIME-4" /bin/sh -c 'exec 2>&1; id; grep -E "Cap(Eff|Bnd)|NoNewPrivs" /proc/self/status; ls /dev; touch /proc/sysrq-trigger'
	ctr_run --env A=1 --cwd /tmp "$root" "$RUNTIME-5" /bin/sh -c 'echo $A; pwd; id -u'
	ctr_run --memory-limit 20000000 "$root" "$RUNTIME-6" /bin/sh -c 'tail /dev/zero'
	it ctr -a "$WORK/containerd.sock" run --runc-binary "$(binary)" -d --rootfs "$root" "$RUNTIME-long" /bin/sh -c 'trap "exit 5" TERM; sleep 1000 & wait'
	it "$WORK/tasks"
	it ctr -a "$WORK/containerd.sock" tasks exec --exec-id e1 "$RUNTIME-long" /bin/sh -c 'exit 6'
	it ctr -a "$WORK/containerd.sock" tasks exec --exec-id e2 "$RUNTIME-long" /nope
	it ctr -a "$WORK/containerd.sock" tasks pause "$RUNTIME-long"
	it "$WORK/tasks"
	it ctr -a "$WORK/containerd.sock" tasks resume "$RUNTIME-long"
	it ctr -a "$WORK/containerd.sock" tasks kill -s SIGTERM "$RUNTIME-long"
	wait_until stopped_
	it "$WORK/tasks"
	it ctr -a "$WORK/containerd.sock" tasks rm "$RUNTIME-long"
	it ctr -a "$WORK/containerd.sock" containers rm "$RUNTIME-long"
}

stopped_() {
	"$WORK/tasks" | grep -q STOPPED
}

@test "ctr run, exec, pause, resume, kill, rm by the runc-v2 shim's BinaryName" {
	need ctr containerd
	cat >"$WORK/tasks" <<-'SH'
		#!/bin/sh
		ctr -a "$WORK/containerd.sock" tasks list | awk '{ print $1, $3 }'
	SH
	chmod +x "$WORK/tasks"
	same_session ctr_session
	said ctr_session '^hello$'
	said ctr_session '^R-long PAUSED$'
	said ctr_session '^=> 7$'
}

## podman

pod() {
	podman --root "$WORK/storage" --runroot "$WORK/runroot" --storage-driver vfs --events-backend=file --cgroup-manager cgroupfs "$@"
}

pod_it() {
	it podman --root "$WORK/storage" --runroot "$WORK/runroot" --storage-driver vfs --events-backend=file --cgroup-manager cgroupfs \
		--runtime "$(binary)" "$@"
}

podman_session() {
	local run=(run --rm --network none)
	pod_it "${run[@]}" box echo hello
	pod_it "${run[@]}" box sh -c 'exit 7'
	pod_it "${run[@]}" box /nope
	pod_it "${run[@]}" box /plain
	pod_it "${run[@]}" -u 1000:1000 -w /tmp -e A=1 --group-add 2000 box sh -c 'echo $A; pwd; id'
	pod_it "${run[@]}" -t box tty
	pod_it "${run[@]}" --memory 64m --pids-limit 33 box sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max memory.max pids.max 2>/dev/null'
	pod_it "${run[@]}" --read-only box sh -c 'exec 2>&1; touch /x; touch /tmp/x && echo tmp'
	pod_it "${run[@]}" --cap-drop all --cap-add net_raw box grep Cap /proc/self/status
	pod_it "${run[@]}" --security-opt no-new-privileges box grep -E 'NoNewPrivs|Seccomp:' /proc/self/status
	pod_it "${run[@]}" -v "$WORK/image/plain:/v:ro" --tmpfs /scratch --ulimit nofile=100:200 --ulimit nproc=100:100 --hostname some box sh -c 'exec 2>&1; cat /v/file; touch /v/x; ulimit -n; hostname'
	pod_it "${run[@]}" --uidmap 0:100000:5000 --gidmap 0:100000:5000 box sh -c 'id -u; cat /proc/self/uid_map; ls -l /dev/null | cut -c 1-10'
	pod_it "${run[@]}" --pid host box sh -c 'test -d /proc/2 && echo host'
	pod_it "${run[@]}" --sysctl net.ipv4.ip_forward=1 box cat /proc/sys/net/ipv4/ip_forward
	pod_it "${run[@]}" --init box ps -o args
	pod_it run -d --network none --name session box sh -c 'trap "echo got; exit 5" TERM; echo started; sleep 1000 & wait'
	pod_it exec session sh -c 'exit 9'
	pod_it exec session nope
	pod_it exec session /plain
	pod_it exec -u 1000 -w /tmp -e X=y session sh -c 'id -u; pwd; echo $X'
	pod_it exec -t session tty
	pod_it exec -d session sh -c 'echo left > /tmp/left'
	pod_it ps --format '{{.Names}} {{.State}}'
	pod_it pause session
	pod_it inspect -f '{{.State.Status}}' session
	pod_it unpause session
	pod_it top session args
	pod_it stop -t 20 session
	pod_it logs session
	pod_it inspect -f '{{.State.Status}} {{.State.ExitCode}}' session
	pod_it start session
	pod_it exec session cat /tmp/left
	pod_it kill session
	pod_it wait session
	pod_it rm -f -t 0 session
	pod_it pod create --name group --network none --infra-command /bin/sleep --infra-image box --infra-name group-infra
	pod_it pod rm -f group
}

@test "podman --runtime: run, exec, pause, stop, logs, start, kill, rm" {
	need podman conmon
	pod import -q "$WORK/image.tar" box >&2
	same_session podman_session
	said podman_session '^hello$'
	said podman_session '^=> 127$'
	said podman_session '^67108864$'
	said podman_session '0 +100000 +5000'
	said podman_session '^got$'
}

pod_session() {
	pod_it pod create --name group --share ipc,uts --infra-image box --infra-command '/bin/sleep 1000' --network none
	pod_it run -d --pod group --name one box sh -c 'echo > /dev/shm/shared; exec sleep 1000'
	pod_it run --rm --pod group box sh -c 'ls /dev/shm; hostname'
	pod_it exec one hostname
	pod_it pod stop -t 0 group
	pod_it pod rm -f group
}

@test "podman --runtime: a pod's containers share what the pod says" {
	need podman conmon
	pod image exists box || pod import -q "$WORK/image.tar" box >&2
	same_session pod_session
	said pod_session '^shared$'
}

build_session() {
	mkdir -p "$WORK/context"
	printf 'FROM box\nRUN echo built > /built && id -u\nWORKDIR /made/dir\nUSER 1000\nRUN pwd && id -u && touch /etc/x 2>/dev/null || echo denied\n' >"$WORK/context/Containerfile"
	pod_it build --network none -q=false --no-cache -t made "$WORK/context"
	pod_it run --rm --network none made sh -c 'cat /built; pwd'
}

@test "podman --runtime build" {
	need podman conmon
	pod image exists box || pod import -q "$WORK/image.tar" box >&2
	same_session build_session
	said build_session '^denied$'
	said build_session '^built$'
}

## buildah

bud() {
	buildah --root "$WORK/bstorage" --runroot "$WORK/brunroot" --storage-driver vfs "$@"
}

buildah_session() {
	local c
	c=$(bud from scratch)
	bud add -q "$c" "$WORK/image.tar" / >/dev/null
	local run=(buildah --root "$WORK/bstorage" --runroot "$WORK/brunroot" --storage-driver vfs run --runtime "$(binary)" --isolation oci --network none)
	it "${run[@]}" "$c" -- echo hello
	it "${run[@]}" "$c" -- sh -c 'exit 7'
	it "${run[@]}" "$c" -- /nope
	it "${run[@]}" --user 1000:1000 --env A=1 --workingdir /tmp "$c" -- sh -c 'id -u; echo $A; pwd'
	it "${run[@]}" -v "$WORK/image/plain:/v:ro" "$c" -- cat /v/file
	it "${run[@]}" --cap-drop all "$c" -- grep CapEff /proc/self/status
	it "${run[@]}" "$c" -- ls /proc/self/fd
	bud rm "$c" >/dev/null
}

@test "buildah run --runtime" {
	need buildah
	same_session buildah_session
	said buildah_session '^hello$'
	said buildah_session '^text$'
}

@test "nothing is left of the sessions" {
	left=$(find /run/berth-runtime "$XDG_RUNTIME_DIR/berth-runtime" -mindepth 1 -maxdepth 1 -type d ! -name '~*' -newer "$WORK/image.tar" 2>/dev/null || true)
	same state "" "$left"
}
