#!/usr/bin/env bash
# Debian package e2fsprogs, 1.47.0 (1.47.0-2+b2 in Debian 12).
#
# mke2fs -E offset=N, debugfs "IMAGE?offset=N" and e2fsck "IMAGE?offset=N" work on a file system inside a disk image. But when the
# journal holds a transaction, e2fsck replays it, opens the file system again without the offset, reports a bad magic number and ends
# with 12 (4: errors left, 8: operational error). The mark "needs_recovery" stays, so the next run ends in the same way. The same file
# system in a file of its own is repaired with exit code 0. A clean one at an offset is checked without complaint, so a test that
# checks images of nodes that were powered off well does not find out.
#
# What follows: to check a partition of an image after a power cut, copy it out or use a device for it.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
libs=$(apt-cache depends e2fsprogs | sed -n 's/.*Depends: \(lib\(ext2fs2\|ss2\|com-err2\|blkid1\|uuid1\|e2p\)[a-z0-9]*\)$/\1/p' | sort -u)
apt-get download e2fsprogs $libs >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" root; done
LD_LIBRARY_PATH=$(find "$dir/root" -name '*.so*' -exec dirname {} + | sort -u | paste -sd:)
export LD_LIBRARY_PATH PATH="$dir/root/sbin:$dir/root/usr/sbin:$PATH"
e2fsck -V 2>&1 | sed -n 1p

# A file system of its own and the same one 1 MiB into an image.
truncate -s 32M alone
mke2fs -q -t ext4 -b 1024 alone
image() { rm -f image; truncate -s 1M image; cat alone >>image; }
check() {
	e2fsck "$@" >out 2>&1 && code=0 || code=$?
	echo "exit $code, magic: $(grep -c 'Bad magic number' out || true), journal: $(grep -c 'recovering journal' out || true)"
}
got=$(
	image
	echo "clean, at an offset: $(check -f -n 'image?offset=1048576')"
	# One transaction in the journal: the root directory's block as it is.
	block=$(debugfs -R 'bmap <2> 0' alone 2>/dev/null)
	dd if=alone of=block bs=1k skip="$block" count=1 2>/dev/null
	printf 'jo\njw -b %s block\njc\n' "$block" | debugfs -w -f - alone >/dev/null 2>&1
	image
	echo "journal, at an offset: $(check -p 'image?offset=1048576')"
	echo "journal, again: $(check -p 'image?offset=1048576')"
	echo "journal, alone: $(check -p alone)"
)
want='clean, at an offset: exit 0, magic: 0, journal: 0
journal, at an offset: exit 12, magic: 1, journal: 1
journal, again: exit 12, magic: 1, journal: 1
journal, alone: exit 0, magic: 0, journal: 1'
echo "$got"
[ "$got" = "$want" ] || { cat out; echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
