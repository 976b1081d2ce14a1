#!/bin/sh
# Makes a manual page of its template: lines that begin with @ are replaced by what the programs say of themselves, so that
# a page cannot differ from its program.
#
# usage: etc/man/manual.sh BIN TEMPLATE >PAGE
#
#   @berthd-commands     of "berthd help"
#   @berthd-options      of "berthd help options"
#   @berth-options       of "berth help"
#   @berth-commands      of "berth help" and "berth help COMMAND"
#   @berth-net-commands  of "berth-net --help"
#   @berth-net-options   likewise
#   @runtime-options     of "berth-runtime --help"
#   @runtime-commands    of "berth-runtime --help" and "berth-runtime COMMAND --help"
# @DATE@ within a line is the day of SOURCE_DATE_EPOCH.
set -eu

bin=$1 template=$2
export LC_ALL=C

# What awk programs below share.  Text of programs becomes text in mdoc: no request, no macro, hyphens that can be copied.
common='
function text(s) {
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/"/, "\\(dq", s)
	return s
}
# As arguments of a macro: each word by itself, and none is one.
function words(s,   n, i, w, out) {
	n = split(text(s), w, " ")
	for (i = 1; i <= n; i++)
		out = out " \\&" w[i]
	return out
}
function line(s) {
	s = text(s)
	return s ~ /^[.\047]/ ? "\\&" s : s
}
# A description as a sentence.
function sentence(s) {
	return line(toupper(substr(s, 1, 1)) substr(s, 2)) (s ~ /\.$/ ? "" : ".")
}
# "-a, --all NAME" and "--all value, -a", in words of mdoc.
function flags(s,   n, i, w, out, more) {
	n = split(s, w, " ")
	for (i = 1; i <= n; i++) {
		more = sub(/,$/, "", w[i])
		if (w[i] ~ /^-/)
			out = out " Fl " text(substr(w[i], 2)) (more ? " ," : "")
		else
			out = out " Ar \\&" text(w[i]) (more ? " ," : "")
	}
	return out
}
# Options in two columns, the second one at or after column "at".
function option(s, at,   i) {
	for (i = at; i <= length(s) && substr(s, i, 1) != " "; i++)
		;
	print ".It" flags(substr(s, 1, i - 1))
	s = substr(s, i + 1)
	sub(/^ +/, "", s)
	print line(s)
}
'

berthd_commands() {
	"$bin/berthd" help | awk "$common"'
	sub(/^  berthd /, "") {
		name = $1
		sub(/^[^ ]+ /, "")
		at = index($0, "   ")
		print ".It Cm " text(name) (at ? words(substr($0, 1, at - 1)) : "")
		print sentence(at ? substr($0, at + 3) : $0)
	}'
}

berthd_options() {
	env -i "$bin/berthd" help options | awk "$common"'
	/^[a-z]/ {
		at = index($0, " = ")
		print ".It Ic " text(substr($0, 1, at - 1)) " No =" words(substr($0, at + 3))
		next
	}
	{
		sub(/^ +/, "")
		if (++n % 2) {
			print sentence($0)
		} else {
			at = match($0, /; BERTHD_[A-Z0-9_]*$/)
			print ".br"
			print "This is " text(substr($0, 1, at - 1)) "."
			print ".Ev " text(substr($0, at + 2))
		}
	}'
}

berth_options() {
	"$bin/berth" help | awk "$common"'/^  (-.,|   ) --/ { option(substr($0, 3), 33) }'
}

berth_commands() {
	"$bin/berth" help | sed -n 's/^  \([a-z][a-z-]*\)  *.*/\1/p' | while read -r name; do
		"$bin/berth" help "$name" | awk -v name="$name" "$common"'
		/^usage: / {
			sub("^usage: berth " name " *", "")
			print ".It Cm " text(name) words($0)
			next
		}
		/^  (-.,|   ) --/ {
			if (!listed++)
				print ".Bl -tag -width Ds -compact"
			option(substr($0, 3), 33)
			next
		}
		/./ { print sentence($0) }
		END { if (listed) print ".El" }'
	done
}

berth_net_commands() {
	"$bin/berth-net" --help | awk "$common"'
	sub(/^  berth-net /, "") {
		n = $1 == "network" ? 2 : 1
		name = $1 (n == 2 ? " " $2 : "")
		print ".It Cm " name words(substr($0, length(name) + 1))
		next
	}
	/^        [^ ]/ && !/^ {23}/ { sub(/^ +/, ""); print sentence($0) }
	/^options:/ { exit }'
}

berth_net_options() {
	"$bin/berth-net" --help | awk "$common"'
	/^options:/ { on = 1; next }
	!on || /^$/ { if (on) exit; next }
	/^  --/ { option(substr($0, 3), 20); next }
	{ sub(/^ +/, ""); print line($0) }'
}

runtime_options() {
	"$bin/berth-runtime" --help | awk "$common"'
	/^GLOBAL/ { on = 1 }
	on && /^   --/ { option(substr($0, 4), 29) }'
}

runtime_commands() {
	"$bin/berth-runtime" --help | sed -n '/^COMMANDS/,/^$/s/^   \([a-z]*\)  *.*/\1/p' | while read -r name; do
		"$bin/berth-runtime" "$name" --help | awk -v name="$name" "$common"'
		/^[A-Z]+:$/ { part = $1; next }
		part == "NAME:" && / - / { sub(/.* - /, ""); doc = $0 }
		part == "USAGE:" && /berth-runtime/ {
			sub(/^ *berth-runtime [a-z]+ */, "")
			print ".It Cm " text(name) words($0)
			print sentence(doc)
		}
		part == "OPTIONS:" && /^   --/ {
			if (!listed++)
				print ".Bl -tag -width Ds -compact"
			option(substr($0, 4), 29)
		}
		END { if (listed) print ".El" }'
	done
}

day=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" '+%B %-d, %Y')
while IFS= read -r l; do
	case $l in
	@berthd-commands) berthd_commands ;;
	@berthd-options) berthd_options ;;
	@berth-options) berth_options ;;
	@berth-commands) berth_commands ;;
	@berth-net-commands) berth_net_commands ;;
	@berth-net-options) berth_net_options ;;
	@runtime-options) runtime_options ;;
	@runtime-commands) runtime_commands ;;
	@*) echo "$template: no such line: $l" >&2; exit 1 ;;
	*@DATE@*) printf '%s\n' "${l%@DATE@*}$day${l#*@DATE@}" ;;
	*) printf '%s\n' "$l" ;;
	esac
done <"$template"
