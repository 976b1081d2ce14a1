#compdef berthd
# Completion of berthd for zsh.  The program itself is asked for its commands and options, so they are those of its version.

# What may follow a command, as "berthd help" has it.
_berthd_usage() { $1 help 2>/dev/null | sed -n "s/^  berthd $2 \(.*\)   .*/\1/p" }

# Repositories, and after a colon tags; of the root that the line names.
_berthd_names() {
	local program=$1 word=$2
	shift 2
	if [[ $word == *:* ]]; then
		$program tags ${word%%:*} --json "$@" 2>/dev/null |
			sed -n 's/.*"repository": *"\([^"]*\)".*"tag": *"\([^"]*\)".*/\1:\2/p'
	else
		$program repos --json "$@" 2>/dev/null | sed -n 's/.*"repository": *"\([^"]*\)".*/\1/p'
	fi
}

_berthd() {
	local program=$words[1] i
	local -a found place
	if ((CURRENT == 2)); then
		found=(${(f)"$($program help 2>/dev/null | sed -n -e 's/^  berthd \([a-z][a-z-]*\).*   \(.*\)/\1:\2/p' -e t -e 's/^  berthd \([a-z][a-z-]*\) \([a-z].*\)/\1:\2/p')"})
		_describe command found
		return
	fi
	if [[ $words[CURRENT-1] == (--config|--root) ]] || compset -P '--(config|root)='; then
		_files
		return
	fi
	if [[ $PREFIX == -* ]]; then
		found=($(_berthd_usage $program $words[2] | grep -o -e '--[a-z][a-z-]*=\?') --json --config
			$($program help options 2>/dev/null | sed -n 's/^\([a-z][a-z._]*\) = .*/--\1=/p'))
		compadd -S '' -- ${(M)found:#*=}
		compadd -- ${found:#*=}
		return
	fi
	for ((i = 3; i < CURRENT; i++)); do
		case $words[i] in
		--config | --root) place+=($words[i] $words[i+1]) ;;
		--config=* | --root=*) place+=($words[i]) ;;
		esac
	done
	case $words[2] in
	backup | restore | import)
		_files -/
		;;
	tags | inspect | rm | cp | mv | history | rollback | export)
		found=($(_berthd_names $program $PREFIX $place))
		compadd -a found
		;;
	*)
		found=($(_berthd_usage $program $words[2] | tr -d '[]' | tr '|' '\n' | sed -n 's/^ *\([a-z][a-z-]*\).*/\1/p'))
		compadd -a found
		;;
	esac
}

_berthd "$@"
