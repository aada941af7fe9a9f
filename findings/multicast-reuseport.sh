#!/usr/bin/env bash
# Linux, seen with Debian's 6.12.118 on arm64 and with 6.18.44 on amd64. It runs with the kernel that is there and needs no root.
#
# Two sockets of one user share a UDP port by SO_REUSEADDR and SO_REUSEPORT, as responders of multicast DNS do, and
# IP_MULTICAST_ALL is off. One has joined a group on an interface, the other has joined nothing. By ip(7) every datagram for the
# group is for the first one. About half of them go to the second one alone: when exactly one socket has joined, the kernel picks a
# socket of its SO_REUSEPORT group by a hash of the sender's address and port, as it does for unicast. With SO_REUSEADDR alone, or
# when both have joined, each gets what it has joined.
#
# What follows: set SO_REUSEADDR, and not SO_REUSEPORT, on sockets for multicast.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cat >"$dir/two.py" <<'PY'
import ctypes, os, socket, struct, subprocess, sys

GROUP, PORT, SENT, NEWNET, MULTICAST_ALL = "224.0.0.251", 5353, 64, 0x40000000, 49

def ip(*words):
    subprocess.run(["ip", *words], check=True)

def listener(reuseport, joins):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuseport:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.setsockopt(socket.IPPROTO_IP, MULTICAST_ALL, 0)
    s.bind(("0.0.0.0", PORT))
    if joins:
        member = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("here"))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    s.settimeout(0.2)
    return s

def count(s):
    n = 0
    try:
        while True:
            s.recv(100)
            n += 1
    except TimeoutError:
        return n

def sender():  # in a network namespace of its own: the machine at the other end of the cable
    ctypes.CDLL(None).unshare(NEWNET)
    os.write(ready[1], b"x")
    while line := sys.stdin.readline():
        if line == "up\n":
            ip("link", "set", "there", "up")
            ip("addr", "add", "192.0.2.2/24", "dev", "there")
        for port in range(40000, 40000 + SENT) if line == "send\n" else ():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("192.0.2.2", port))
            s.sendto(b"x", (GROUP, PORT))
            s.close()
        os.write(ready[1], b"x")

ready, orders = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.close(orders[1])
    sys.stdin = os.fdopen(orders[0])
    sender()
    os._exit(0)
os.close(orders[0])

def order(word):
    os.write(orders[1], (word + "\n").encode())
    os.read(ready[0], 1)

os.read(ready[0], 1)
ip("link", "add", "here", "type", "veth", "peer", "name", "there")
ip("link", "set", "there", "netns", str(child))
ip("link", "set", "here", "up")
ip("addr", "add", "192.0.2.1/24", "dev", "here")
order("up")
for name, reuseport, both in ("SO_REUSEPORT, one has joined", True, False), ("SO_REUSEPORT, both have joined", True, True), ("SO_REUSEADDR alone, one has joined", False, False):
    one, other = listener(reuseport, True), listener(reuseport, both)
    order("send")
    got = count(one), count(other)
    one.close()
    other.close()
    text = "all" if got[0] == SENT else "none" if got[0] == 0 else "some"
    rest = "all" if got[1] == SENT else "none" if got[1] == 0 else "the rest" if sum(got) == SENT else "others"
    print(f"{name}: the first gets {text}, the second {rest}")
    print(got, file=sys.stderr)
PY
uname -r
got=$(unshare -Urn python3 "$dir/two.py" 2>"$dir/counts") || { cat "$dir/counts"; exit 1; }
want='SO_REUSEPORT, one has joined: the first gets some, the second the rest
SO_REUSEPORT, both have joined: the first gets all, the second all
SO_REUSEADDR alone, one has joined: the first gets all, the second none'
cat "$dir/counts"
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
