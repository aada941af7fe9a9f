#!/usr/bin/env bash
# Debian package samba, 4.17.12 (2:4.17.12+dfsg-0+deb12u3 in Debian 12); seen with 4.22.11 of Debian 13 too.
#
# pdbedit -i smbpasswd:FILE copies the accounts of an smbpasswd file. At the first line whose user is not in /etc/passwd it stops:
# the accounts after that line are not imported, no error is printed, and the exit code is 0. One user who was removed from the system
# takes the logins of all that come later in the file away.
#
# What follows: leave users without a passwd entry out of the file, and compare the list of pdbedit -L with the file afterwards.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
# The libraries have other names in other releases: what samba depends on, as far as it can be downloaded.
names=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances samba |
	grep '^lib' | grep -vE '^lib(python|perl|c6|gcc|stdc|pam|systemd|mount|apt)' | sort -u)
apt-get download samba samba-libs $(apt-cache policy $names | awk '/^[^ ]/ {name = $1} /Candidate:/ && $2 != "(none)" {sub(":$", "", name); print name}') >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH=$(find "$dir/root" -name '*.so*' -exec dirname {} + | sort -u | paste -sd:)
export LD_LIBRARY_PATH
pdbedit=$(find root -name pdbedit -type f)
mkdir private state cache lock
cat >smb.conf <<CONF
[global]
private dir = $dir/private
state directory = $dir/state
cache directory = $dir/cache
lock directory = $dir/lock
pid directory = $dir/lock
CONF
"$pdbedit" --version
# daemon, bin and games are users of every Debian. The hash is that of the word "password".
line() { echo "$1:$(id -u "$1" 2>/dev/null || echo 4242):XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-65000000:"; }
got=$(for users in 'daemon bin games' 'daemon nobody-here bin games'; do
	rm -f private/*
	for user in $users; do line "$user"; done >list
	"$pdbedit" -s smb.conf -i "smbpasswd:$dir/list" -e "tdbsam:$dir/private/passdb.tdb" >out 2>&1 && code=0 || code=$?
	echo "$users: exit $code, $(grep -ci -e error -e fail -e unknown out || true) lines of errors, imported: $("$pdbedit" -s smb.conf -L 2>/dev/null | cut -d: -f1 | sort | paste -sd' ')"
done)
want='daemon bin games: exit 0, 0 lines of errors, imported: bin daemon games
daemon nobody-here bin games: exit 0, 0 lines of errors, imported: daemon'
echo "$got"
[ "$got" = "$want" ] || { cat out; echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
