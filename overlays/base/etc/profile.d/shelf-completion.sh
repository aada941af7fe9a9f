# Completion of shelf in bash; made by: shelf completion bash
[ -n "$BASH_VERSION" ] || return 0
_shelf() {
	local word=${COMP_WORDS[COMP_CWORD]} words=
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "status services logs start stop restart top network dmesg report config data backup disk rescue reboot poweroff reset support completion version help" -- "$word"))
		return
	fi
	if [ "${COMP_WORDS[COMP_CWORD-1]}" = -o ]; then
		COMPREPLY=($(compgen -W "json text" -- "$word"))
		return
	fi
	case ${COMP_WORDS[1]} in
	logs) words="-f -n $(shelf services names 2>/dev/null)" ;;
	start) words="$(shelf services names 2>/dev/null)" ;;
	stop) words="$(shelf services names 2>/dev/null)" ;;
	restart) words="$(shelf services names 2>/dev/null)" ;;
	config) words="--dump secrets=yes reload check apply confirm revert" ;;
	data) words="repair format" ;;
	backup) words="now list key forget" ;;
	disk) words="move forget" ;;
	rescue) words="on off" ;;
	reset) words="yes=yes" ;;
	support) words="out= -" ;;
	completion) words="bash" ;;
	help) words="status services logs start stop restart top network dmesg report config data backup disk rescue reboot poweroff reset support completion version help" ;;
	esac
	COMPREPLY=($(compgen -W "$words -o" -- "$word"))
}
complete -F _shelf shelf
