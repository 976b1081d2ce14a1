# shellcheck shell=bash
# engines.bash - the same session with an engine, once with runc and once with berth-runtime: what it prints must be equal.
#
# A session is a function that calls `it COMMAND...`; each call is recorded with its output and exit status.  What differs
# between two runs of one runtime already (ids, times, the runtime's own name) is replaced.

BERTH=${BERTH_RUNTIME:-build/bin/berth-runtime}
[[ $BERTH == /* ]] || BERTH=$BERTHD_TOP/$BERTH

# engine_image - a root filesystem of busybox as a tar, in $WORK/image.tar
engine_image() {
	local root=$WORK/image
	mkdir -p "$root"/{bin,etc,tmp,root,plain}
	cp /bin/busybox "$root/bin/"
	local applet
	for applet in $(busybox --list); do
		[[ $applet == busybox ]] || ln -sf busybox "$root/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	printf 'some:x:1000:1000::/home/some:/bin/sh\n' >>"$root/etc/passwd"
	printf 'root:x:0:\nsome:x:1000:\nextra:x:2000:some\n' >"$root/etc/group"
	echo text >"$root/plain/file"
	chmod 1777 "$root/tmp"
	tar -C "$root" -cf "$WORK/image.tar" .
}

# it COMMAND... - record one command: its output, then what it wrote to stderr (which of the two comes first is nobody's
# promise), and its status; stdin is what the caller gives
it() {
	local out status=0
	out=$(timeout 120 "$@" 2>"$WORK/stderr") || status=$?
	{
		echo "\$ $*"
		printf '%s\n' "$out"
		cat "$WORK/stderr"
		echo "=> $status"
	} >>"$RECORD"
}

# engine_normal - what may differ, replaced; what docker's client says or not, as it comes, left out
engine_normal() {
	sed -E -e '/error waiting for container: context canceled/d' -e 's/Up (About an?|Less than a|[0-9]+) [a-z]+ ago/Up/' -e 's/berth-runtime/runc/g' -e 's#/[^ "]*/(berth-runtime|runc)\b#RUNTIME#g' -e "s#$BERTH#RUNTIME#g" \
		-e 's/\b[0-9a-f]{64}\b/ID/g' -e 's/\b[0-9a-f]{11,12}\b/ID/g' -e 's/time="[^"]*"/time/g' \
		-e 's/(runc|berth)-session/SESSION/g' -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g'
}

# compare NAME FUNCTION - run the session with both runtimes and compare
compare() {
	local name=$1 runtime
	shift
	for runtime in runc berth; do
		RECORD=$WORK/$name.$runtime.raw
		: >"$RECORD"
		RUNTIME=$runtime "$@" </dev/null
		engine_normal <"$RECORD" >"$WORK/$name.$runtime"
	done
	diff -u --label runc --label berth-runtime "$WORK/$name.runc" "$WORK/$name.berth" >&2
}

# said NAME REGEX - berth-runtime's record has a line that matches: a session that says nothing proves nothing
said() {
	grep -Eq -e "$2" "$WORK/$1.berth" && return
	say "$1: no line matches $2 in"
	cat "$WORK/$1.berth" >&2
	return 1
}
