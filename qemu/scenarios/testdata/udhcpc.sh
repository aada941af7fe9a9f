#!/bin/sh
# What busybox udhcpc calls: it sets the address and notes each lease.
echo "$1 $ip $lease $ntpsrv" >>/run/udhcpc.$(ip netns identify $$)
case $1 in
bound|renew)
  ip addr replace $ip/24 brd + dev $interface
  [ -z "$router" ] || ip route replace default via ${router%% *}
  ;;
deconfig) ip addr flush dev $interface ;;
esac
