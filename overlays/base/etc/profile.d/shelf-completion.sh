# Completion of shelf in bash; made by: shelf completion bash
[ -n "$BASH_VERSION" ] || return 0
_shelf() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=
	# Bash takes key=value for three words.
	if [ "$word" = "=" ] || [ "$before" = "=" ]; then
		local key=$before
		[ "$word" = "=" ] && word= || key=${COMP_WORDS[COMP_CWORD-2]}
		case $key in
		output) words="text json" ;;
		follow) words="yes no" ;;
		dump) words="yes no" ;;
		secrets) words="yes no" ;;
		try) words="no" ;;
		format) words="yes no" ;;
		identity) words="-" ;;
		reboot) words="yes no" ;;
		arm) words="yes no" ;;
		force) words="yes no" ;;
		datastore) words="keep" ;;
		serve) words="yes no" ;;
		by) words="plan" ;;
		plan) words="yes no" ;;
		list) words="yes no" ;;
		yes) words="yes" ;;
		esac
		COMPREPLY=($(compgen -W "$words" -- "$word"))
		[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
		return
	fi
	case $before in
	-o) COMPREPLY=($(compgen -W "text json" -- "$word")); return ;;
	esac
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="status services logs start stop restart top network dmesg report config data backup disk upgrade rollback firmware commit hold history key token storage router restore rescue reboot poweroff reset support completion version help"
	else
		case ${COMP_WORDS[1]} in
	status) words="output= -o" ;;
	services) words="output= -o" ;;
	logs) words="$(shelf services names 2>/dev/null) follow= -f lines= -n output= -o" ;;
	start) words="$(shelf services names 2>/dev/null) output= -o" ;;
	stop) words="$(shelf services names 2>/dev/null) output= -o" ;;
	restart) words="$(shelf services names 2>/dev/null) output= -o" ;;
	top) words="output= -o" ;;
	network) words="output= -o" ;;
	dmesg) words="output= -o" ;;
	report) words="output= -o" ;;
	config) words="reload check apply confirm revert dump= --dump secrets= try= output= -o" ;;
	data) words="repair format yes=" ;;
	backup) words="now list key forget enroll restore name= format= at= into= identity= node=" ;;
	disk) words="move forget" ;;
	upgrade) words="usb auto status resume reboot= arm= force= datastore= serve= --serve by= plan= --plan output= -o" ;;
	rollback) words="restore= output= -o" ;;
	firmware) words="upgrade rollback serve= --serve output= -o" ;;
	commit) words="output= -o" ;;
	hold) words="off output= -o" ;;
	history) words="output= -o" ;;
	key) words="list add output= -o" ;;
	token) words="rotate set output= -o" ;;
	storage) words="status disks forget degraded scrub balance cancel replace convert output= -o" ;;
	router) words="status output= -o" ;;
	restore) words="at= list= --list" ;;
	rescue) words="on off" ;;
	reboot) words="output= -o" ;;
	poweroff) words="output= -o" ;;
	reset) words="yes= --yes output= -o" ;;
	support) words="- out= output= -o" ;;
	completion) words="bash zsh fish man" ;;
	version) words="output= -o" ;;
	help) words="status services logs start stop restart top network dmesg report config data backup disk upgrade rollback firmware commit hold history key token storage router restore rescue reboot poweroff reset support completion version" ;;
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
	[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _shelf shelf
