#!/bin/sh
# client BOARD [OPTION...]: starts udhcpc on a board, in the place of one that runs there. What it
# gets is noted in /run/udhcpc.BOARD.
board=$1
shift
[ ! -e /run/$board.pid ] || kill $(cat /run/$board.pid) 2>/dev/null || true
ip -n $board addr flush dev e0
: >/run/udhcpc.$board
ip netns exec $board busybox udhcpc -f -i e0 -s /var/local/udhcpc "$@" </dev/null >/run/$board.log 2>&1 &
echo $! >/run/$board.pid
