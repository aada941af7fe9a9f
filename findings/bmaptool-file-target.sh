#!/usr/bin/env bash
# Debian package bmap-tools, 3.6 (3.6-2 in Debian 12).
#
# bmaptool copy writes the mapped blocks of an image and leaves the others alone: on a card what was there before stays between them.
# Into a regular file it empties the file first, so everything that is not mapped reads as zeros. Nothing that it prints differs. A
# test that "flashes" into a file full of old data therefore proves nothing about a card full of old data: an image that needs zeros
# where its map has none passes in the file and fails on the card.
#
# What follows: test flashing over old data on a block device, or write the mapped ranges into the file yourself.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
apt-get download bmap-tools python3-six >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" root; done
bmaptool() { PYTHONPATH="$dir/root/usr/lib/python3/dist-packages" python3 -W ignore root/usr/bin/bmaptool "$@"; }
bmaptool --version

# 64 blocks of 4 KiB, of which block 3 is mapped; the target has the letter o everywhere.
truncate -s 256K image
printf '%4096s' '' | tr ' ' n | dd of=image bs=4k seek=3 conv=notrunc status=none
bmaptool create -o image.bmap image
grep -q '<MappedBlocksCount> *1 *<' image.bmap
printf '%262144s' '' | tr ' ' o >card
bmaptool copy --bmap image.bmap image card >/dev/null 2>&1

kinds() { echo "$1: $(tr -cd n <"$1" | wc -c) new, $(tr -cd o <"$1" | wc -c) old, $(tr -cd '\0' <"$1" | wc -c) zero"; }
got=$(kinds card)
want='card: 4096 new, 0 old, 258048 zero'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
