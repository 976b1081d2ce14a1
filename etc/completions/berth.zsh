#compdef berth
# Completion of berth for zsh.  The program itself is asked for its commands and options, so they are those of its version.

# Lines of a help text as "name:what it is".
_berth_commands_of() { sed -n 's/^  \([a-z][a-z-]*\)  *\(.*\)/\1:\2/p' }
_berth_options_of() { sed -n 's/^  \(-., \|    \)\(--[a-z0-9-]*\).\{0,40\}  *\([^ ].*\)/\2:\3/p' }

# Does the option take a value, by the help text?  One without has two blanks or more behind its name.
_berth_takes_value() { grep -q -e "^  \(-., \|    \)$1 [^ ]" -e "^  $1, --[a-z-]* [^ ]" <<<"$2" }

_berth() {
	local program=$words[1] command='' help i
	local -a at found
	for ((i = 2; i < CURRENT; i++)); do
		case $words[i] in
		--root | --state | --runtime) at+=($words[i] $words[++i]) ;;
		-*) at+=($words[i]) ;;
		*)
			command=$words[i]
			break
			;;
		esac
	done
	help=$($program help $command 2>/dev/null)
	if [[ $PREFIX == -* ]]; then
		found=(${(f)"$(_berth_options_of <<<$help)"})
		_describe -o option found
		return
	fi
	if [[ $words[CURRENT-1] == -* ]] && _berth_takes_value $words[CURRENT-1] "$help"; then
		_files
		return
	fi
	case $command in
	'' | help)
		found=(${(f)"$($program help 2>/dev/null | _berth_commands_of)"} help:'tell of a command')
		_describe command found
		;;
	start | rm | inspect | diff | logs | wait | cp | commit | port | generate-systemd)
		found=($($program $at ps --all 2>/dev/null | awk 'NR > 1 { print $1, $NF }'))
		compadd -a found
		;;
	stop | restart | kill | pause | unpause | exec | attach | top | stats)
		found=($($program $at ps 2>/dev/null | awk 'NR > 1 { print $1, $NF }'))
		compadd -a found
		;;
	run | create | push | tag | rmi | save | unpack)
		found=($($program $at images 2>/dev/null | awk 'NR > 1 { print $1 ":" $2 }'))
		compadd -a found
		;;
	network | volume)
		found=($(sed -n "s/^usage: berth $command \(.*\)/\1/p" <<<$help | tr '|' '\n' | awk '$1 ~ /^[a-z]/ { print $1 }'))
		compadd -a found
		;;
	load | import)
		_files
		;;
	esac
}

_berth "$@"
