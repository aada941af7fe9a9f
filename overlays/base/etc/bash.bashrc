# /etc/bash.bashrc: for every bash that somebody types in, and for commands over ssh.
[ -r /etc/profile.d/00-environment.sh ] && . /etc/profile.d/00-environment.sh
[ -z "$PS1" ] && return
shopt -s checkwinsize
PS1='\u@\h:\w\$ '
