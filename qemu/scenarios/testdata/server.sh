#!/bin/sh
# The modem's DHCP server: dnsmasq or busybox udhcpd, or none. Neither knows of a relay.
for f in /run/modem.*.pid; do
  [ -e $f ] && kill $(cat $f) && rm $f
done
case $1 in
dnsmasq)
  ip netns exec modem dnsmasq -C /dev/null --interface=m0 --bind-interfaces --user=root --pid-file=/run/modem.dnsmasq.pid \
    --enable-ra --dhcp-range=2001:db8:77::,ra-only --no-resolv --no-hosts --address=/upstream.example.com/203.0.113.5 --address=/nas.lan/203.0.113.6 \
    --dhcp-authoritative --dhcp-range=192.168.77.50,192.168.77.99,255.255.255.0,2m --dhcp-leasefile=/run/modem.leases \
    --log-dhcp --log-facility=/run/modem.log
  ;;
udhcpd)
  : >/run/modem.udhcpd.leases
  cat >/run/modem.conf <<X
start 192.168.77.100
end 192.168.77.149
interface m0
max_leases 40
pidfile /run/modem.udhcpd.pid
lease_file /run/modem.udhcpd.leases
option subnet 255.255.255.0
option router 192.168.77.1
option lease 60
min_lease 20
X
  ip netns exec modem busybox udhcpd -f /run/modem.conf >/run/modem.udhcpd.log 2>&1 &
  ;;
esac
