#!/usr/bin/env bats
# docker with berth-runtime by --add-runtime, beside runc: the same commands, the same answers.

load ../lib/berthd
load ../lib/engines

docker_ready_() {
	[[ -s $WORK/dockerd.status ]] || docker version >/dev/null 2>&1
}

setup_file() {
	berthd_setup
	command -v dockerd >/dev/null && command -v runc >/dev/null && ((EUID == 0)) || return 0
	export DOCKER_HOST=unix://$WORK/docker.sock DOCKER_CONFIG=$WORK/docker-config BRIDGE=bd$((BASHPID % 100000))
	export GROUP=berth-docker-$BASHPID # of its own: other daemons come and go beside it
	if ! ip link add "$BRIDGE" type bridge 2>"$WORK/bridge.err"; then
		unset BRIDGE
		return 0
	fi
	ip addr add 198.51.100.1/24 dev "$BRIDGE"
	ip link set "$BRIDGE" up
	daemon_start dockerd dockerd --data-root "$WORK/docker-data" --exec-root "$WORK/docker-exec" -H "$DOCKER_HOST" \
		--pidfile "$WORK/docker.pid" --bridge="$BRIDGE" --iptables=false --ip-masq=false --ip-forward=false \
		--cgroup-parent="/$GROUP" --exec-opt native.cgroupdriver=cgroupfs --storage-driver=vfs --add-runtime "berth=$BERTH"
	wait_until docker_ready_
	if [[ -s $WORK/dockerd.status ]]; then
		tail -n 20 "$WORK/dockerd.err" >&2
		return 1
	fi
	engine_image
	docker import "$WORK/image.tar" box >&2
}

teardown_file() {
	[[ ${BRIDGE:-} ]] && docker ps -aq | xargs -r docker rm -f >/dev/null 2>&1
	daemon_signal dockerd TERM
	[[ ${BRIDGE:-} ]] && ip link del "$BRIDGE"
	[[ ${GROUP:-} ]] && find /sys/fs/cgroup -depth -type d -path "*/$GROUP*" -exec rmdir {} \; 2>/dev/null
	berthd_teardown
}

setup() {
	need_root
	need docker dockerd runc busybox ip
	[[ ${BRIDGE:-} ]] || skip "no bridge can be made: $(<"$WORK/bridge.err")"
	cd "$WORK"
}

run_() {
	it docker run --rm --runtime "$RUNTIME" "$@"
}

running() {
	run_ box true
	run_ box echo hello
	run_ box sh -c 'exit 7'
	run_ box sh -c 'echo to stderr >&2'
	echo from stdin | it docker run --rm -i --runtime "$RUNTIME" box cat
	run_ -t box sh -c 'tty; stty size' 
	run_ -e A=1 -e B -w /tmp -u 1000:1000 box sh -c 'echo $A $B; pwd; id'
	run_ --group-add 2000 -u some box id
	run_ --hostname some-host box hostname
	run_ box sh -c 'kill -TERM $$; sleep 0.1; echo still here'
	run_ --init box ps -o args
}

refused() {
	run_ box /nope
	run_ box nope
	run_ box /plain
	run_ box /plain/file
	run_ -w /plain/file box true
	run_ -u nobody-there box true
	run_ --entrypoint /nope box
	run_ -v /nope/nope:/x:ro,bogus box true
}

# Files of either version of cgroups: those that are there.
of_either='cd /sys/fs/cgroup; cat 2>/dev/null'

limits() {
	run_ --memory 64m box sh -c "$of_either memory/memory.limit_in_bytes memory.max"
	run_ --memory 64m --memory-swap 96m box sh -c "$of_either memory/memory.memsw.limit_in_bytes memory.swap.max"
	run_ --pids-limit 33 box sh -c "$of_either pids/pids.max pids.max"
	run_ --cpu-shares 300 --cpu-quota 20000 --cpu-period 50000 box sh -c \
		"$of_either cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu.weight cpu.max"
	run_ --cpuset-cpus 0 box grep Cpus_allowed_list /proc/self/status
	run_ --ulimit nofile=100:200 box sh -c 'ulimit -n; ulimit -Hn'
	run_ --oom-score-adj 300 box cat /proc/self/oom_score_adj
	run_ --memory 20m box sh -c 'tail /dev/zero'
	run_ --blkio-weight 300 box true
}

isolation() {
	run_ box grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|Seccomp|NoNewPrivs' /proc/self/status
	run_ --cap-drop ALL --cap-add NET_RAW box grep -E 'Cap' /proc/self/status
	run_ --user 1000 --cap-add NET_ADMIN box grep -E 'Cap' /proc/self/status
	run_ --security-opt no-new-privileges box grep NoNewPrivs /proc/self/status
	run_ --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status
	run_ --read-only --tmpfs /scratch box sh -c 'exec 2>&1; touch /x; touch /scratch/x && echo ok'
	run_ -v "$WORK/image/plain:/v:ro" -v "$WORK/image/plain/file:/f" box sh -c 'exec 2>&1; cat /v/file /f; touch /v/x'
	run_ --device /dev/fuse:/dev/other:r box sh -c 'exec 2>&1; ls -l /dev/other | cut -c 1-10; cat /dev/kmsg'
	run_ --pid host box sh -c 'test -d /proc/2 && echo host pids'
	run_ --ipc host --uts host box sh -c 'hostname'
	run_ --network none box ip addr show lo
	run_ --network host box sh -c 'ip -o link | wc -l | grep -q . && echo links'
	run_ box sh -c 'ip -o -4 addr show eth0 | grep -o 198.51.100; ip route | head -n 1 | cut -d" " -f 1-3'
	run_ --sysctl net.ipv4.ip_forward=1 box cat /proc/sys/net/ipv4/ip_forward
	run_ --shm-size 5m box sh -c 'df /dev/shm | tail -n 1 | tr -s " " | cut -d" " -f 2'
	run_ box sh -c 'exec 2>&1; ls -l /proc/kcore /proc/timer_list | cut -c 1-10; ls /sys/firmware; mount -t tmpfs x /tmp; mkdir /sys/fs/cgroup/pids/x; echo b > /proc/sysrq-trigger'
	run_ box sh -c 'for d in null zero full random urandom tty ptmx fd stdin console; do ls -l /dev/$d | cut -c 1-10; done'
}

life() {
	it docker run -d --name "$RUNTIME-session" --runtime "$RUNTIME" box sh -c 'trap "echo got TERM; exit 5" TERM; echo started; sleep 1000 & wait'
	it docker inspect -f '{{.State.Status}} {{.State.Running}} {{.HostConfig.Runtime}}' "$RUNTIME-session"
	it docker exec "$RUNTIME-session" sh -c 'exit 9'
	it docker exec "$RUNTIME-session" nope
	it docker exec "$RUNTIME-session" /plain
	it docker exec -u 1000 -w /tmp -e X=y "$RUNTIME-session" sh -c 'id -u; pwd; echo $X'
	it docker exec -t "$RUNTIME-session" tty
	echo through | it docker exec -i "$RUNTIME-session" cat
	it docker exec -d "$RUNTIME-session" sh -c 'echo left > /tmp/left'
	it docker pause "$RUNTIME-session"
	it docker inspect -f '{{.State.Status}}' "$RUNTIME-session"
	it docker exec "$RUNTIME-session" true
	it docker unpause "$RUNTIME-session"
	it docker update --memory 50m --memory-swap 80m --pids-limit 44 "$RUNTIME-session"
	it docker exec "$RUNTIME-session" sh -c "$of_either memory/memory.limit_in_bytes memory.max pids/pids.max pids.max"
	it docker top "$RUNTIME-session" -o comm
	it docker kill -s WINCH "$RUNTIME-session"
	it docker stop -t 20 "$RUNTIME-session"
	it docker logs "$RUNTIME-session"
	it docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' "$RUNTIME-session"
	it docker start "$RUNTIME-session"
	it docker exec "$RUNTIME-session" cat /tmp/left
	it docker kill "$RUNTIME-session"
	it docker wait "$RUNTIME-session"
	it docker restart -t 0 "$RUNTIME-session"
	it docker rm -f "$RUNTIME-session"
	it docker inspect "$RUNTIME-session"
}

sed_runtime() {
	sed -i -e 's/--runtime \(runc\|berth\)/--runtime R/' -e 's/\b\(runc\|berth\)$/R/' "$WORK/$1.runc" "$WORK/$1.berth"
}

# The name of the runtime is in the commands themselves.
same_session() {
	compare "$1" "$2" >/dev/null 2>&1 || true
	sed_runtime "$1"
	diff -u --label runc --label berth-runtime "$WORK/$1.runc" "$WORK/$1.berth" >&2
}

@test "docker run: output, status, input, terminal, environment, users" {
	same_session running running
	said running '^hello$'
	said running '^=> 7$'
	said running '^from stdin$'
}

@test "docker run of what cannot be run: the same messages and 125, 126, 127" {
	same_session refused refused
	said refused '^=> 127$'
	said refused '^=> 126$'
	said refused '"/nope": stat /nope: no such file or directory'
}

@test "docker run with limits" {
	same_session limits limits
	said limits '^67108864$'
	said limits '^=> 137$'
}

@test "docker run: capabilities, seccomp, mounts, devices, namespaces, network by the prestart hook" {
	same_session isolation isolation
	said isolation '^198.51.100$'
	said isolation 'Seccomp:	2'
}

@test "docker run --privileged, where runc cannot grant a capability that the daemon itself lacks" {
	out=$(docker run --rm --privileged --runtime berth box sh -c 'touch /proc/sys/net/ipv4/ip_forward && echo may; ls /dev | wc -l')
	has output "$out" may
	(($(tail -n 1 <<<"$out") >= $(find /dev -maxdepth 1 -type c | wc -l)))
}

@test "docker exec, pause, update, top, kill, stop, logs, start, restart, rm" {
	same_session life life
	said life '^got TERM$'
	said life '^52428800$'
	said life '^=> 9$'
}

@test "nothing is left: containers, mounts, groups" {
	same "state" "" "$(ls "$WORK/docker-exec/runtime-berth/moby" 2>/dev/null | grep -v '^~' || true)"
	same "groups" "" "$(find /sys/fs/cgroup -type d -path "*/$GROUP/?*" | head -n 3)"
}
