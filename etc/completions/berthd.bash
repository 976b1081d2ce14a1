# Completion of berthd for bash.  The program itself is asked for its commands and options, so they are those of its version.

_berthd_commands() { "$1" help 2>/dev/null | sed -n 's/^  berthd \([a-z][a-z-]*\).*/\1/p'; }

# What may follow a command, as "berthd help" has it.
_berthd_usage() { "$1" help 2>/dev/null | sed -n "s/^  berthd $2 \(.*\)   .*/\1/p"; }

_berthd_options() {
	_berthd_usage "$1" "$2" | grep -o -e '--[a-z][a-z-]*=\?'
	printf '%s\n' --json --config
	"$1" help options 2>/dev/null | sed -n 's/^\([a-z][a-z._]*\) = .*/--\1=/p'
}

# Repositories, and after a colon tags; of the root that the line names.
_berthd_names() {
	local program=$1 word=$2
	shift 2
	if [[ $word == *:* ]]; then
		"$program" tags "${word%%:*}" --json "$@" 2>/dev/null |
			sed -n 's/.*"repository": *"\([^"]*\)".*"tag": *"\([^"]*\)".*/\1:\2/p'
	else
		"$program" repos --json "$@" 2>/dev/null | sed -n 's/.*"repository": *"\([^"]*\)".*/\1/p'
	fi
}

_berthd_complete() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }

_berthd() {
	local cur prev words cword program i place=()
	_init_completion -n =: || return
	program=${words[0]}
	if ((cword == 1)); then
		_berthd_complete "$(_berthd_commands "$program")"
		return
	fi
	if [[ $cur == --config=* || $cur == --root=* || $prev == --config || $prev == --root ]]; then
		cur=${cur#--*=}
		_filedir
		return
	fi
	if [[ $cur == -* ]]; then
		_berthd_complete "$(_berthd_options "$program" "${words[1]}")"
		[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
		return
	fi
	for ((i = 2; i < cword; i++)); do
		case ${words[i]} in
		--config | --root) place+=("${words[i]}" "${words[i + 1]}") ;;
		--config=* | --root=*) place+=("${words[i]}") ;;
		esac
	done
	case ${words[1]} in
	backup | restore | import)
		_filedir -d
		;;
	tags | inspect | rm | cp | mv | history | rollback | export)
		_berthd_complete "$(_berthd_names "$program" "$cur" "${place[@]}")"
		__ltrim_colon_completions "$cur"
		;;
	*)
		_berthd_complete "$(_berthd_usage "$program" "${words[1]}" | tr -d '[]' | tr '|' '\n' |
			sed -n 's/^ *\([a-z][a-z-]*\).*/\1/p')"
		;;
	esac
} && complete -F _berthd berthd
