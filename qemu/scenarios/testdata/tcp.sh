#!/bin/sh
# tcp FROM TO ADDRESS: sends a file from a namespace to another one and compares what comes.
# The receiver's input stays open: nc ends the connection with it.
sleep 60 2>/dev/null | ip netns exec $2 busybox nc -l -p 7000 >/run/tcp.out 2>/dev/null &
receiver=$!
for i in 1 2 3 4 5 6 7 8 9 10; do
  ip netns exec $2 ss -ltn | grep -q :7000 && break
  sleep 1
done
head -c 2000000 /usr/bin/shelf | ip netns exec $1 busybox nc $3 7000
wait $receiver
head -c 2000000 /usr/bin/shelf | cmp - /run/tcp.out && echo same
