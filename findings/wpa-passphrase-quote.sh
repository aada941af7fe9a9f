#!/usr/bin/env bash
# Debian package wpasupplicant, 2.10 (2:2.10-12+deb12u3 in Debian 12, 2:2.10-24 in Debian 13).
#
# wpa_passphrase writes a network block for wpa_supplicant. For a network name with a quote and a # behind it, both of which 802.11
# allows, it writes ssid="a"b#c", and wpa_supplicant refuses the whole file: its comments end at the second quote of a line, its
# values at the last one, so the rest from # on is a comment and the quote before it is in the middle. Each of the two characters
# alone is read literally.
#
# What follows: write names in hexadecimal, ssid=6122622363, and so the passphrases of sae_password.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
# Some are called otherwise in other releases, and a host may have them: a download that fails is passed over.
for name in wpasupplicant libnl-3-200 libnl-genl-3-200 libnl-route-3-200 libpcsclite1 libdbus-1-3 libreadline8 libssl3 libreadline8t64 libssl3t64; do
	apt-get download "$name" >/dev/null 2>&1 || true
done
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH=$(find "$dir/root" -name '*.so.*' -exec dirname {} + | sort -u | paste -sd:)
export LD_LIBRARY_PATH
bin=$(dirname "$(find root -name wpa_passphrase)") sbin=$(dirname "$(find root -name wpa_supplicant -type f)")
"$sbin/wpa_supplicant" -v | head -n 1
got=$(for name in 'a"b' 'a#b' 'a#b"c' 'a"b#c'; do
	"$bin/wpa_passphrase" "$name" 'correct horse' >network.conf
	# It ends because there is no such interface, after it has read the file.
	"$sbin/wpa_supplicant" -d -c network.conf -i nosuch0 -D wired >log 2>&1 || true
	echo "$name: written as $(sed -n 's/^\tssid=//p' network.conf), $(grep -c 'Failed to read or parse' log || true) refusals"
done)
want='a"b: written as "a"b", 0 refusals
a#b: written as "a#b", 0 refusals
a#b"c: written as "a#b"c", 0 refusals
a"b#c: written as "a"b#c", 1 refusals'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
