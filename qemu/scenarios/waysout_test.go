package scenarios

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	nodeboot "imgbuild/init/boot"
	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// loginOnly is the card on which a test logs in: it leads nowhere else.
const loginOnly = "  - {mac: '52:54:00:12:34:56', addresses: [10.0.2.15/24], ignore_ra: true, dhcp6: false, optional: true}\n"

// TestWaysOut boots a worker in a network that has IPv6 alone, by router advertisements and
// DHCPv6; then two of its cards get a default route with one metric. It is a slow row.
func TestWaysOut(t *testing.T) {
	t.Parallel()
	if !full {
		return
	}
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64")) // as in TestWorker
	card := t.TempDir() + "/card.img"
	duplicate(t, im.Image, card)
	config := func(cards string) string {
		return cloudConfig("shelf-six", "network:\n  interfaces:\n"+loginOnly+cards+
			"k3os: {server_url: 'https://[fd00:9:8::1]:6443', token: a-long-random-word}\ntime: {wait: 1s}\n")
	}
	onBoot(t, card, "config.yaml", config("  - {mac: '52:54:00:00:09:02'}\n"))
	netA, cardA := testLAN(t)
	netB, cardB := testLAN(t)
	cardB.MAC = "52:54:00:00:09:03"
	netA.NoIPv4.Store(true)
	netB.NoIPv4.Store(true)
	if err := netA.Advertise(lan.Advert{Prefix: netip.MustParsePrefix("fd00:9:8::/64"), DNS: netip.MustParseAddr("fd00:9:8::53"), Search: "ra.example", Life: 30 * time.Minute, Managed: true}); err != nil {
		t.Fatal(err)
	}
	g := boot(t, vm.Options{Image: card, Name: "six", Machine: "virt", Size: 4 << 30, Links: []*vm.Link{cardA, cardB}})[0]
	for _, step := range nodeboot.Steps { // its server does not exist, so that k3s never gets ready
		g.see(`shelf: step ` + step.Name + ` ok`)
	}
	s := g.login()
	sub(t, "IPv6 alone", func(t *testing.T) {
		six := lan.Guest6.String()
		s.until("sudo cat /var/log/shelf/k3s.log", "standin: node-ip "+six)
		got := s.run("ip -4 route; ip -o link; sudo shelf network; sudo shelf status || true")
		if strings.Contains(got, "203.0.113") || strings.Contains(got, "dummy0") {
			t.Errorf("there is a way into nowhere:\n%s", got)
		}
		if strings.Contains(got, "the network is not up") || !strings.Contains(got, six+"/128") {
			t.Errorf("the network does not count as up:\n%s", got)
		}
		if !strings.Contains(got, "gateway  fe80::1") {
			t.Errorf("the router that advertised itself is not shown:\n%s", got)
		}
	}, g)
	give := func(cards string) {
		g.t.Helper()
		ctx, stop := context.WithTimeout(g.ctx, patience)
		defer stop()
		if out, err := s.RunInput(ctx, "sudo shelf config apply - try=no", []byte(config(cards))); err != nil {
			g.t.Fatalf("%s %v", out, err)
		}
	}
	sub(t, "two cards with one metric", func(t *testing.T) {
		cards := func(gateway string) string {
			return "  - {mac: '52:54:00:00:09:02', addresses: [10.9.8.3/24], gateway: " + gateway + ", metric: 50}\n" +
				"  - {mac: '52:54:00:00:09:03', addresses: [10.9.9.3/24], gateway: 10.9.9.1, metric: 50}\n"
		}
		const look = "ip -4 route show default"
		give(cards("10.9.8.1"))
		if got := s.until(look+" | sort", "via 10.9.9.1 dev eth2"); !strings.Contains(got, "via 10.9.8.1 dev eth1") {
			t.Errorf("one took the route of the other:\n%s", got)
		}
		give(cards("10.9.8.9"))
		got := s.until(look, "via 10.9.8.9 dev eth1")
		if !strings.Contains(got, "via 10.9.9.1 dev eth2") || strings.Contains(got, "10.9.8.1 ") {
			t.Errorf("after a change of one gateway:\n%s", got)
		}
	}, g)
	s.off()
}
