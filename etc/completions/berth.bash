# Completion of berth for bash.  The program itself is asked for its commands and options, so they are those of its version.

_berth_commands() { "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *.*/\1/p'; }

# Lines of options in a help text: "-a, --all" and "    --env-file FILE".
_berth_options() { sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'; }

# Does the option take a value, by the help text on stdin?  One without has two blanks or more behind its name.
_berth_takes_value() { grep -q -e "^  \(-., \|    \)$1 [^ ]" -e "^  $1, --[a-z-]* [^ ]"; }

_berth_complete() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }

# The place of the command in the line: options of berth itself come before it.
_berth_find_command() {
	local i
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		--root | --state | --runtime) at+=("${words[i]}" "${words[++i]-}") ;;
		-*) at+=("${words[i]}") ;;
		*)
			command=${words[i]}
			return
			;;
		esac
	done
}

_berth() {
	local cur prev words cword program command='' help at=()
	_init_completion -n =: || return
	program=${words[0]}
	_berth_find_command
	help=$("$program" help $command 2>/dev/null)
	if [[ $cur == -* ]]; then
		_berth_complete "$(_berth_options <<<"$help")"
		return
	fi
	if [[ $prev == -* ]] && _berth_takes_value "$prev" <<<"$help"; then
		_filedir
		return
	fi
	case $command in
	'')
		_berth_complete "$(_berth_commands "$program") help"
		;;
	help)
		_berth_complete "$(_berth_commands "$program")"
		;;
	start | rm | inspect | diff | logs | wait | cp | commit | port | generate-systemd)
		_berth_complete "$("$program" "${at[@]}" ps --all 2>/dev/null | awk 'NR > 1 { print $1, $NF }')"
		;;
	stop | restart | kill | pause | unpause | exec | attach | top | stats)
		_berth_complete "$("$program" "${at[@]}" ps 2>/dev/null | awk 'NR > 1 { print $1, $NF }')"
		;;
	run | create | push | tag | rmi | save | unpack)
		_berth_complete "$("$program" "${at[@]}" images 2>/dev/null | awk 'NR > 1 { print $1 ":" $2 }')"
		__ltrim_colon_completions "$cur"
		;;
	network | volume)
		_berth_complete "$(sed -n "s/^usage: berth $command \(.*\)/\1/p" <<<"$help" | tr '|' '\n' | awk '$1 ~ /^[a-z]/ { print $1 }')"
		;;
	load | import)
		_filedir
		;;
	esac
} && complete -F _berth berth
