# /etc/bash.bashrc: for every bash that somebody types in, and for commands over ssh.
[ -r /etc/profile.d/00-environment.sh ] && . /etc/profile.d/00-environment.sh

# What does here what a command of other systems does; fails for any other command.
shelf_instead() {
	case $1 in
	systemctl | service | rc-service | rc-update)
		echo "run shelf services, or shelf start, stop or restart NAME; shelf reboot for the node" ;;
	journalctl)
		echo "run shelf logs NAME, with -f to follow it; shelf dmesg for the kernel's messages" ;;
	apt | apt-get | aptitude | dpkg | snap | apk | dnf | yum)
		echo "the system is read-only; build the image with packages=NAME, run a container, or put a static program into /usr/local/bin" ;;
	curl)
		echo "run wget: wget -O - URL prints what curl URL prints" ;;
	kubectl)
		echo "run it on a server of the cluster, or run imgbuild kubeconfig SERVER on your laptop and kubectl there" ;;
	hostnamectl | timedatectl | localectl | netplan | nmcli | raspi-config)
		echo "change the configuration: imgbuild apply NODE config=FILE on your laptop; shelf status shows what is in use" ;;
	*)
		return 1 ;;
	esac
}

# bash calls this for a command that does not exist.
command_not_found_handle() {
	local what="there is no $1 here"
	type -P -- "$1" >/dev/null && what="$1 has no access to a cluster here"
	printf 'what went wrong: %s\n' "$what" >&2
	local instead
	if instead=$(shelf_instead "$1"); then
		printf 'how to fix it:   %s\n' "$instead" >&2
	fi
	return 127
}

# Whether there is no such command, or it is of no use here: kubectl without access to a cluster.
shelf_lacks() {
	! type -P -- "$1" >/dev/null || { [ "$1" = kubectl ] && [ -z "$KUBECONFIG" ] && [ ! -e /etc/rancher/k3s/k3s.yaml ] && [ ! -e ~/.kube/config ]; }
}

# The same for a command that is typed after sudo.
sudo() {
	if shelf_lacks "$1" && shelf_instead "$1" >/dev/null; then
		command_not_found_handle "$1"
		return
	fi
	command sudo "$@"
}

kubectl() {
	if shelf_lacks kubectl; then
		command_not_found_handle kubectl
		return
	fi
	command kubectl "$@"
}

[ -z "$PS1" ] && return
shopt -s checkwinsize
PS1='\u@\h:\w\$ '
