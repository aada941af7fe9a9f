package scenarios

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// Three networks of one simulated radio: with WPA2 alone, hidden, and open. The host 10.66.0.1 is
// reached through them.
const threeNetworks = `
write_files:
- path: /etc/hostapd.conf
  permissions: '0600'
  content: |
    interface=wlan1
    bridge=br9
    country_code=DE
    hw_mode=g
    channel=1
    auth_algs=1
    ssid=plain
    wpa=2
    wpa_key_mgmt=WPA-PSK
    rsn_pairwise=CCMP
    wpa_passphrase=correct horse
    bss=wlan1_1
    bridge=br9
    ssid=hidden
    ignore_broadcast_ssid=1
    wpa=2
    wpa_key_mgmt=WPA-PSK
    rsn_pairwise=CCMP
    wpa_passphrase=battery staple
    bss=wlan1_2
    bridge=br9
    ssid=open
boot_cmd:
- modprobe mac80211_hwsim radios=2
- ip netns add ap && iw phy phy1 set netns name ap
- ip netns exec ap sh -c 'ip link add br9 type bridge && ip addr add 10.66.0.1/24 dev br9 && ip link set br9 up && hostapd -B /etc/hostapd.conf'
`

// The bridge has the bond as its port and carries the VLAN, through which the way to the LAN's one
// machine leads.
const stacked = `  interfaces:
  - {name: br0, dhcp: true}
  - {name: br0.5, addresses: [10.5.0.2/24], routes: [{to: 10.9.8.1/32}]}
  - {name: wlan0, addresses: [10.66.0.2/24], optional: true}
  bonds: [{name: bond0, ports: [eth1, eth2], mode: active-backup}]
  bridges: [{name: br0, ports: [bond0]}]
  vlans: [{parent: br0, id: 5}]
`

const flat = `  interfaces:
  - {name: eth2, addresses: [10.9.9.9/24], dns: [10.9.8.1]}
  - {name: wlan0, addresses: [10.66.0.2/24], optional: true}
`

// TestNetworkKinds boots one node with what few need: a bond, a bridge, a VLAN, a router that
// advertises itself, and Wi-Fi networks that are hidden, open, or know nothing newer than WPA2. It
// is a slow row.
func TestNetworkKinds(t *testing.T) {
	t.Parallel()
	if !full {
		return
	}
	config := func(devices, wifi string) string {
		return cloudConfig("shelf-kinds", threeNetworks) + "network:\n  country: DE\n" + devices + "  wifi: [" + wifi + "]\n"
	}
	im := build(t, config(stacked, "{name: plain, passphrase: correct horse}"), "board=qemu-arm64", "role=worker", "k3s=none", "packages=hostapd")
	netA, cardA := testLAN(t)
	netB, cardB := testLAN(t)
	cardB.MAC = "52:54:00:00:09:03"
	g := boot(t, vm.Options{Image: im.Image, Name: "kinds", Direct: true, Links: []*vm.Link{cardA, cardB}})[0]
	g.up()
	s := g.login()
	give := func(text string) {
		g.t.Helper()
		ctx, stop := context.WithTimeout(g.ctx, patience)
		defer stop()
		if out, err := s.RunInput(ctx, "sudo shelf config apply - try=no", []byte(text)); err != nil {
			g.t.Fatalf("%s %v", out, err)
		}
	}
	contains := func(text string, list ...string) {
		g.t.Helper()
		for _, want := range list {
			if !strings.Contains(text, want) {
				g.t.Errorf("%q is not among\n%s", want, text)
			}
		}
	}
	tagged := func(l *lan.LAN) {
		g.t.Helper()
		select {
		case id := <-l.Tags:
			if id != 5 {
				g.t.Errorf("a frame of VLAN %d", id)
			}
		case <-time.After(patience):
			g.t.Error("nothing came in a VLAN")
		}
	}
	reach := func() {
		g.t.Helper()
		s.run("sudo ip neigh flush dev br0.5")
		s.until("echo > /dev/udp/10.9.8.1/9; ip neigh show dev br0.5", "lladdr 52:54:00:00:09:01")
	}

	sub(t, "bond, bridge and VLAN", func(t *testing.T) {
		text := s.until("cd /sys/class/net; ip -o link show br0; cat bond0/bonding/mode bond0/bonding/slaves; ls br0/brif; ip -d -o link show br0.5; ip -4 -o addr; sudo shelf network", "br0: 10.9.8.2/24 by dhcp from 10.9.8.1")
		contains(text, "link/ether 52:54:00:00:09:02", "active-backup", "eth1 eth2", "bond0", "vlan protocol 802.1Q id 5", "inet 10.5.0.2/24", "eth2: a port of bond0")
		reach()
		tagged(netA)
	}, g)
	sub(t, "router advertisements", func(t *testing.T) {
		said := lan.Advert{Prefix: netip.MustParsePrefix("fd00:9:8::/64"), DNS: netip.MustParseAddr("fd00:9:8::53"), Search: "ra.example", Life: 30 * time.Minute}
		check := func() {
			for _, l := range []*lan.LAN{netA, netB} {
				if err := l.Advertise(said); err != nil {
					t.Fatal(err)
				}
			}
		}
		check()
		const look = "ip -6 -o addr show dev br0 scope global; ip -6 route show default dev br0; cat /etc/resolv.conf"
		contains(s.until(look, "nameserver fd00:9:8::53"), "inet6 fd00:9:8:", "default via fe80::1", "ra.example")
		s.run("sudo sysctl -w net.ipv6.conf.all.forwarding=1") // as k3s does
		check()
		contains(s.run(look), "default via fe80::1")
		said.Life = 0
		check()
		s.until("grep fd00:9:8::53 /etc/resolv.conf || echo gone", "gone")
	}, g)
	sub(t, "one cable of a bond", func(t *testing.T) {
		if err := g.SetLink(0, false); err != nil {
			t.Fatal(err)
		}
		s.until("cat /sys/class/net/bond0/bonding/active_slave", "eth2")
		reach()
		tagged(netB)
		if err := g.SetLink(0, true); err != nil {
			t.Fatal(err)
		}
	}, g)
	sub(t, "plain WPA2, hidden and open", func(t *testing.T) {
		join := func(name string) {
			t.Helper()
			s.until("sudo iw dev wlan0 link; sudo ping -c 1 -W 5 10.66.0.1", "SSID: "+name)
		}
		join("plain")
		give(config(stacked, "{name: plain, passphrase: wrong horse}"))
		g.see(`the passphrase of "plain" is wrong`)
		give(config(stacked, "{name: hidden, passphrase: battery staple, hidden: true}, {name: plain, passphrase: wrong horse}"))
		join("hidden")
		give(config(stacked, "{name: open}"))
		join("open")
	}, g)
	sub(t, "what is taken out is gone", func(t *testing.T) {
		give(config(flat, "{name: open}"))
		s.until("ip -4 -o addr show dev eth1", "10.9.8.2/24")
		text := s.until("ls /sys/class/net; ip -4 -o addr", "10.9.9.9/24")
		for _, gone := range []string{"br0", "bond0", "10.5.0.2"} {
			if strings.Contains(text, gone) {
				t.Errorf("%s is still there:\n%s", gone, text)
			}
		}
		if strings.Contains(g.Output(), "the network is not up") {
			t.Error("the node reports that its network is not up")
		}
		if n := strings.Count(g.Output(), "(slave eth1): Enslaving"); n != 1 {
			t.Errorf("the bond was made %d times, want 1", n)
		}
	}, g)
	sub(t, "IPv6 alone, by DHCPv6", func(t *testing.T) {
		for _, l := range []*lan.LAN{netA, netB} {
			l.NoIPv4.Store(true)
			if err := l.Advertise(lan.Advert{Prefix: netip.MustParsePrefix("fd00:9:8::/64"), DNS: netip.MustParseAddr("fd00:9:8::53"), Search: "ra.example", Life: 30 * time.Minute, Managed: true}); err != nil {
				t.Fatal(err)
			}
		}
		give(config("  interfaces:\n  - {name: eth1, dhcp: false}\n  - {name: eth2, dhcp: false, addresses: ['fd00:9:9::2/64'], gateway6: 'fd00:9:9::1', optional: true}\n", "{name: open}"))
		text := s.until("ip -6 -o addr show dev eth1 scope global; ip -4 -o addr show dev eth1; ip -6 route show default; cat /etc/resolv.conf; sudo shelf network", "default via fd00:9:9::1 dev eth2")
		contains(text, "inet6 "+lan.Guest6.String()+"/128", "default via fe80::1 dev eth1", "nameserver "+lan.DNS6.String(), "eth1: "+lan.Guest6.String()+"/128")
		if strings.Contains(text, "10.9.8.2") || strings.Contains(text, "203.0.113") {
			t.Errorf("there is IPv4 on it:\n%s", text)
		}
		// The lease outlives a change that has nothing to do with it, and goes with its settings.
		give(config("  interfaces:\n  - {name: eth1, dhcp: false, dhcp6: false, ignore_ra: true}\n", "{name: open}"))
		s.until("ip -6 -o addr show dev eth1 scope global | grep -c "+lan.Guest6.String()+" || true", "0")
	}, g)
	s.off()
}
