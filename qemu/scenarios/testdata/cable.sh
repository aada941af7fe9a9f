#!/bin/sh
# The networks of a router under test, in namespaces. The router's uplink is up0, its shelf shelf0.
#
#   modem m0 --- air (bridge) --- up0 [router] shelf0 --- sw (bridge) --- b1, b2
#
# The cable in air behaves like an access point to a station: it drops every frame from the router
# whose source is not up0's own address, and every unicast frame to the router for another one.
set -e
up=52:54:00:aa:00:02
for n in modem air sw b1 b2; do
  ip netns add $n
  ip -n $n link set lo up
done
ip link add up0 address $up type veth peer name up0p netns air
ip link add shelf0 address 52:54:00:aa:00:03 type veth peer name shelf0p netns sw
ip -n modem link add m0 address 52:54:00:aa:00:01 type veth peer name m0p netns air
ip -n b1 link add e0 address 52:54:00:bb:00:01 type veth peer name b1p netns sw
ip -n b2 link add e0 address 52:54:00:bb:00:02 type veth peer name b2p netns sw
for n in air sw; do
  ip -n $n link add bb0 type bridge
  ip -n $n link set bb0 up
done
for p in m0p up0p; do ip -n air link set $p master bb0 up; done
for p in shelf0p b1p b2p; do ip -n sw link set $p master bb0 up; done
ip netns exec air nft -f - <<X
table netdev air {
  chain in { type filter hook ingress device up0p priority 0; ether saddr != $up drop; }
  chain out { type filter hook egress device up0p priority 0; ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether daddr != $up drop; }
}
X
ip -n modem addr add 192.168.77.1/24 brd + dev m0
ip -n modem addr add 2001:db8:77::1/64 dev m0 nodad
ip -n modem link set m0 up
ip -n b1 link set e0 up
ip -n b2 link set e0 up
/var/local/server dnsmasq
