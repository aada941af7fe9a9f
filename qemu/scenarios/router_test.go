package scenarios

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

//go:embed testdata/cable.sh testdata/server.sh testdata/udhcpc.sh testdata/client.sh testdata/tcp.sh
var routerScripts embed.FS

// routerConfig is a router between up0 and shelf0 of cable.sh.
func routerConfig(section string) string {
	var b strings.Builder
	b.WriteString("write_files:\n")
	for _, name := range []string{"cable", "server", "udhcpc", "client", "tcp"} {
		text, err := routerScripts.ReadFile("testdata/" + name + ".sh")
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "- path: /var/local/%s\n  permissions: '0755'\n  content: |\n    %s\n", name, strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    "))
	}
	b.WriteString("- path: /var/local/blocked\n  content: |\n    <html>\n    0.0.0.0 ads.example.com shelf-router.shelf\n")
	b.WriteString("boot_cmd: [/var/local/cable]\nnetwork:\n  interfaces:\n  - {name: up0, dhcp: true}\n")
	b.WriteString("router:\n  uplink: {interface: up0}\n  shelf: {interface: shelf0}\n" + section)
	return b.String()
}

// routerNames is a name server for the shelf, with a list that is not all good.
const routerNames = `  dns:
    enabled: true
    hosts: [{name: nas, address: 192.168.77.20}]
    blocklists: [/var/local/blocked]
`

// TestRouter boots a router in mode proxy-arp. The modem, the boards and the cable, which behaves
// like an access point to a station, are namespaces of the same guest.
func TestRouter(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-router", routerConfig(routerNames)), "board=qemu-arm64", "role=router", "packages=dhcpcd-base")
	g := boot(t, vm.Options{Image: im.Image, Name: "router", Direct: true, Memory: 512})[0]
	g.up()
	s := g.login()
	address := func(board string) string {
		t.Helper()
		text := s.until("sudo ip -n "+board+" -4 -o addr show dev e0", "inet 192.168.77.")
		return regexp.MustCompile(`inet ([0-9.]+)/`).FindStringSubmatch(text)[1]
	}
	var one, two string
	sub(t, "first lease", func(t *testing.T) {
		s.until("shelf services | grep '^router '", "ready")
		s.run("sudo /var/local/client b1 -a -x hostname:board1 -O ntpsrv")
		one = address("b1")
		s.run("sudo ip netns exec b2 dhcpcd -4 -b -C resolv.conf e0 </dev/null >/tmp/dhcpcd.log 2>&1 || cat /tmp/dhcpcd.log")
		two = address("b2")
		s.until("ip route", one+" dev shelf0 proto 77 scope link src ")
	}, g)
	own := regexp.MustCompile(`inet ([0-9.]+)/`).FindStringSubmatch(s.run("ip -4 -o addr show dev up0"))[1]
	// The shelf's card has no address of its own, and the first one of the node is another card's.
	if got := s.run("ip -4 route get " + one); !strings.Contains(got, "dev shelf0 src "+own) {
		t.Errorf("the router sends to a board from another address than %s:\n%s", own, got)
	}
	sub(t, "both ways", func(t *testing.T) {
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 192.168.77.1 && sudo ip netns exec modem ping -c 2 -w 20 " + one + " && sudo ip netns exec modem ping -c 2 -w 20 " + two +
			" && sudo ip netns exec b1 ping -c 2 -w 20 " + two)
		for _, way := range [][3]string{{"modem", "b1", one}, {"b1", "modem", "192.168.77.1"}} {
			if got := s.run("sudo /var/local/tcp " + way[0] + " " + way[1] + " " + way[2]); got != "same" {
				t.Errorf("TCP from %s to %s: %s", way[0], way[1], got)
			}
		}
		// Each side knows the other by the router's address on it.
		if got := s.run("sudo ip -n modem neigh show " + one + "; sudo ip -n b1 neigh show 192.168.77.1"); !strings.Contains(got, one+" dev m0 lladdr 52:54:00:aa:00:02") || !strings.Contains(got, "192.168.77.1 dev e0 lladdr 52:54:00:aa:00:03") {
			t.Errorf("ARP tables:\n%s", got)
		}
		if got := s.run("sudo grep -c DHCPDECLINE /run/modem.log || true"); got != "0" {
			t.Errorf("got %s addresses declined, want 0", got)
		}
	}, g)
	sub(t, "ssh from both sides", func(t *testing.T) {
		s.until("sudo cat /run/udhcpc.b1", "bound "+one+" 120 "+own) // which is the time server too
		s.until("sudo ss -ulnp | grep ':123 '", "shelf")
		for _, side := range []string{"modem", "b1"} {
			if got := s.run("sudo ip netns exec " + side + " sh -c 'nc " + own + " 22 </dev/null | head -c 8'"); got != "SSH-2.0-" {
				t.Errorf("from %s: got %q", side, got)
			}
		}
	}, g)
	sub(t, "names", func(t *testing.T) {
		ask := func(name, want string) {
			t.Helper()
			s.until("sudo ip netns exec b1 busybox nslookup -type=a "+name+" "+own+" 2>&1 || true", want)
		}
		ask("nas", "192.168.77.20")
		ask("nas.shelf", "192.168.77.20")
		ask("board1", one)
		ask("shelf-router", own)
		ask("upstream.example.com", "203.0.113.5")
		ask("ads.example.com", "NXDOMAIN")
		ask("www.ads.example.com", "NXDOMAIN")
		// Of the list's three lines one is no name, and one is ours.
		s.until("shelf router", "1 names in all")
		if got := s.run("shelf router"); !strings.Contains(got, "/var/local/blocked: 2 names") || !strings.Contains(got, "left out: 1 not in hosts form") {
			t.Errorf("got\n%s", got)
		}
		// As many names as a node has to bear, and its own ones among them.
		s.run(`sudo sh -c 'awk "BEGIN { for (i = 0; i < 200000; i++) print \"0.0.0.0 n\" i \".many.example.net\" }" >>/var/local/blocked' && sudo shelf restart blocklists`)
		ask("n199999.many.example.net", "NXDOMAIN")
		ask("nas", "192.168.77.20")
		ask("upstream.example.com", "203.0.113.5")
		s.until("sudo awk '/^VmRSS/ { print ($2 <= 40960 ? \"within 40 MB\" : $2) }' /proc/$(cat /sys/fs/cgroup/shelf/dnsmasq/cgroup.procs)/status", "within 40 MB")
		// Nobody asked for names on the uplink's side.
		if out, err := s.try("sudo ip netns exec modem timeout 5 busybox nslookup -type=a nas " + own); err == nil {
			t.Errorf("from the uplink: got %s", out)
		}
	}, g)
	six := map[string]string{}
	sixOf := func(board string) {
		t.Helper()
		text := s.until("sudo ip -n "+board+" -6 -o addr show dev e0 scope global -tentative", "inet6 2001:db8:77:")
		six[board] = regexp.MustCompile(`inet6 ([0-9a-f:]+)/`).FindStringSubmatch(text)[1]
	}
	sub(t, "IPv6", func(t *testing.T) {
		for _, board := range []string{"b1", "b2"} {
			sixOf(board)
			s.until("ip -6 route", six[board]+" dev shelf0 proto 77 metric 50")
		}
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 2001:db8:77::1 && sudo ip netns exec modem ping -c 2 -w 20 " + six["b1"] + " && sudo ip netns exec modem ping -c 2 -w 20 " + six["b2"] +
			" && sudo ip netns exec b1 ping -c 2 -w 20 " + six["b2"])
		if got := s.run("sudo /var/local/tcp modem b1 " + six["b1"]); got != "same" {
			t.Errorf("TCP: %s", got)
		}
		if got := s.run("sudo ip -n modem -6 neigh show " + six["b1"] + "; sudo ip -n b1 -6 route"); !strings.Contains(got, six["b1"]+" dev m0 lladdr 52:54:00:aa:00:02") || strings.Contains(got, "2001:db8:77::/64 dev e0") {
			t.Errorf("neighbours of the modem and routes of a board, for which the network must not be on its link:\n%s", got)
		}
		// An address that a machine of the other side has is not taken.
		s.run("sudo ip -n b1 addr add 2001:db8:77::1/64 dev e0; sudo ip -n modem addr add " + six["b2"] + "/64 dev m0")
		s.until("sudo ip -n b1 -6 -o addr show dev e0 dadfailed", "2001:db8:77::1/64")
		s.until("sudo ip -n modem -6 -o addr show dev m0 dadfailed", six["b2"])
		s.run("sudo ip -n b1 addr del 2001:db8:77::1/64 dev e0; sudo ip -n modem addr del " + six["b2"] + "/64 dev m0")
		s.until("shelf router", six["b2"])
	}, g)
	sub(t, "mDNS", func(t *testing.T) {
		s.put(t, static(t, "arm64", "../fixtures/known"), "/usr/local/bin/known")
		// The node does not answer on cards of such a kind: another responder is in its place on
		// the shelf's card, which has no address of IPv4.
		for _, m := range [][3]string{{"b1", "e0", "one"}, {"modem", "m0", "home"}, {"", "shelf0 " + own + "/24", "router"}} {
			in := "sudo "
			if m[0] != "" {
				in += "ip netns exec " + m[0]
			}
			s.run("(" + in + " /usr/local/bin/known host " + m[2] + " " + m[1] + ") </dev/null >/tmp/known." + m[2] + " 2>&1 &")
			card, _, _ := strings.Cut(m[1], " ")
			s.until("cat /tmp/known."+m[2], m[2]+".local on "+card)
		}
		for _, c := range [][4]string{
			{"modem", "m0", "one", one + " of " + one}, {"b2", "e0", "home", "192.168.77.1 of 192.168.77.1"},
			{"b2", "e0", "router", own + " of " + own},
		} {
			if got := s.run("sudo ip netns exec " + c[0] + " /usr/local/bin/known ask " + c[2] + " " + c[1]); got != c[3] {
				t.Errorf("%s asks for %s: got %q, want %q", c[0], c[2], got, c[3])
			}
		}
		// Two machines of one name find each other across the router.
		s.run("(sudo ip netns exec b2 /usr/local/bin/known host home e0) </dev/null >/tmp/known.two 2>&1 &")
		s.until("cat /tmp/known.two", "home-2.local on e0: 192.168.77.1 has home.local")
		s.run("sudo busybox killall known")
	}, g)
	sub(t, "renewal", func(t *testing.T) {
		s.until("sudo cat /run/udhcpc.b1", "renew "+one+" 120")
		s.until("sudo grep -c 'DHCPACK.*52:54:00:bb:00:02' /run/modem.log | grep -v '^[01]$' && echo twice", "twice")
	}, g)
	sub(t, "a board that moves", func(t *testing.T) {
		// With an address of its own: a DHCP client gives its lease up with the link.
		s.run("sudo ip netns pids b2 | xargs -r sudo kill -9; sudo ip -n b2 addr flush dev e0; sudo ip -n b2 addr add " + two + "/24 brd + dev e0")
		s.run("sudo ip -n sw link set b2p netns air && sudo ip -n air link set b2p master bb0 up && sudo ip netns exec b2 ping -c 1 -w 20 192.168.77.1")
		s.until("ip route show "+two+" | wc -l", "0")
		s.run("sudo ip netns exec modem ping -c 2 -w 20 " + two + " && sudo ip netns exec b1 ping -c 2 -w 20 " + two)
		// Of IPv6 a board knows that it has moved by its link.
		s.run("sudo ip -n b2 link set e0 down && sudo ip -n b2 link set e0 up")
		sixOf("b2")
		s.until("ip -6 route show "+six["b2"]+" | wc -l", "0")
		s.run("sudo ip netns exec modem ping -c 2 -w 20 " + six["b2"] + " && sudo ip netns exec b1 ping -c 2 -w 20 " + six["b2"])
		// And back, without a word: the modem's next question finds it.
		s.run("sudo ip -n air link set b2p netns sw && sudo ip -n sw link set b2p master bb0 up && sudo ip -n modem neigh flush dev m0 && sudo ip netns exec modem ping -c 3 -w 20 " + two)
		s.until("ip route", two+" dev shelf0")
		s.run("sudo ip -n b2 link set e0 down && sudo ip -n b2 link set e0 up")
		s.until("ip -6 route", six["b2"]+" dev shelf0")
		s.run("sudo ip netns exec modem ping -c 2 -w 20 " + six["b2"])
	}, g)
	sub(t, "a restart", func(t *testing.T) {
		before, before6 := s.run("ip route show proto 77"), s.run("ip -6 route show proto 77")
		s.run("sudo shelf restart router")
		s.until("shelf services | grep '^router '", "ready")
		if got := s.run("ip route show proto 77"); got != before || !strings.Contains(got, one) {
			t.Errorf("routes: got %q, want %q", got, before)
		}
		if got := s.run("ip -6 route show proto 77"); got != before6 || !strings.Contains(got, six["b1"]) {
			t.Errorf("routes of IPv6: got %q, want %q", got, before6)
		}
		// The limit for relay and listener at rest, in KiB.
		s.until("awk '/^VmRSS/ { print ($2 <= 12288 ? \"within 12 MB\" : $2) }' /proc/$(cat /sys/fs/cgroup/shelf/router/cgroup.procs)/status", "within 12 MB")
	}, g)
	sub(t, "loss and return of the uplink", func(t *testing.T) {
		s.run("sudo ip -n air link set up0p down")
		s.until("shelf router", "the uplink up0 has no link")
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 " + two)
		s.until("shelf status || true", "the uplink up0 has no link")
		// The router confirms what the modem gave.
		s.until("sudo tail -n 1 /run/udhcpc.b1", "renew "+one+" 300")
		s.run("sudo ip -n air link set up0p up")
		s.until("shelf router", "proxy-arp: works")
		s.until("sudo ip netns exec modem ping -c 1 -w 5 "+one, "1 packets received")
	}, g)
	sub(t, "busybox udhcpd", func(t *testing.T) {
		s.run("sudo /var/local/server udhcpd; sudo /var/local/client b1")
		one = regexp.MustCompile(`192\.168\.77\.1\d\d`).FindString(s.until("sudo cat /run/udhcpc.b1", "bound 192.168.77.1"))
		s.run("sudo ip netns exec modem ping -c 2 -w 20 " + one)
		s.until("sudo cat /run/udhcpc.b1", "renew "+one+" 60") // in unicast, whose answer no access point delivers
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 192.168.77.1")
	}, g)
	// The control: a router that bridges does not get a lease over such a cable.
	sub(t, "a bridge fails", func(t *testing.T) {
		s.run("sudo kill $(sudo cat /run/b1.pid); sudo shelf stop router; sudo /var/local/server dnsmasq; sudo ip link add br1 type bridge && sudo ip link set br1 up && sudo ip link set up0 master br1 && sudo ip link set shelf0 master br1")
		if out, err := s.try("sudo ip netns exec b1 busybox udhcpc -n -q -i e0 -t 4 -T 4 -s /var/local/udhcpc 2>&1"); err == nil || !strings.Contains(out+err.Error(), "no lease") {
			t.Errorf("got %s, %v", out, err)
		}
	}, g)
	s.off()
}
