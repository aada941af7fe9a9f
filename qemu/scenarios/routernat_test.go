package scenarios

import (
	"regexp"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// routerNAT is a router with a network of its own; port 7000 is the one of testdata/tcp.sh.
const routerNAT = `  mode: nat
  leases: [{mac: '52:54:00:bb:00:01', name: node1, address: 10.77.0.60}]
  forwards: [{port: 7000, to: '10.77.0.60:7000'}]
`

// TestRouterNAT boots a router in mode nat, in the networks of TestRouter. FULL.
func TestRouterNAT(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	im := build(t, cloudConfig("shelf-router", routerConfig(routerNAT)), "board=qemu-arm64", "role=router", "packages=dhcpcd-base") // the image of TestRouter
	g := boot(t, vm.Options{Image: im.Image, Name: "routernat", Direct: true, Memory: 512})[0]
	g.up()
	s := g.login()
	const one = "10.77.0.60"
	own := ""
	tcp := func(from, to, address string) {
		t.Helper()
		if got := s.run("sudo /var/local/tcp " + from + " " + to + " " + address); got != "same" {
			t.Errorf("TCP from %s to %s by %s: %s", from, to, address, got)
		}
	}
	shut := func(command string) {
		t.Helper()
		if out, err := s.try(command); err == nil {
			t.Errorf("%s: got %s, want no way in", command, out)
		}
	}
	sub(t, "leases", func(t *testing.T) {
		s.until("shelf services | grep '^router '", "ready")
		own = regexp.MustCompile(`inet ([0-9.]+)/`).FindStringSubmatch(s.until("ip -4 -o addr show dev up0", "inet 192.168.77."))[1]
		s.run("sudo nft add table inet other") // of another program
		s.run("sudo /var/local/client b1 -O ntpsrv && sudo /var/local/client b2 -x hostname:board2")
		s.until("sudo cat /run/udhcpc.b1", "bound "+one+" 43200 10.77.0.1")
		s.until("sudo cat /run/udhcpc.b2", "bound 10.77.0.")
		// The modem is not asked for them.
		if got := s.run("sudo grep -c 52:54:00:bb: /run/modem.log || true"); got != "0" {
			t.Errorf("%s lines of the modem's log are about boards, want 0", got)
		}
	}, g)
	sub(t, "names", func(t *testing.T) {
		for name, want := range map[string]string{"node1": one, "node1.shelf": one, "board2": "10.77.0.", "shelf-router": "10.77.0.1", "upstream.example.com": "203.0.113.5"} {
			s.until("sudo ip netns exec b2 busybox nslookup -type=a "+name+" 10.77.0.1 2>&1 || true", want)
		}
	}, g)
	sub(t, "the way out, a forward and its hairpin", func(t *testing.T) {
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 192.168.77.1")
		tcp("b1", "modem", "192.168.77.1")
		tcp("modem", "b1", own)
		tcp("b2", "b1", own)
	}, g)
	sub(t, "isolation", func(t *testing.T) {
		s.run("sudo ip -n modem route add 10.77.0.0/24 via " + own)
		shut("sudo ip netns exec modem ping -c 2 -w 5 " + one)
		shut("sudo ip netns exec modem busybox nc -w 5 " + own + " 53 </dev/null")
		for from, address := range map[string]string{"modem": own, "b1": "10.77.0.1"} {
			if got := s.run("sudo ip netns exec " + from + " sh -c 'nc " + address + " 22 </dev/null | head -c 8'"); got != "SSH-2.0-" {
				t.Errorf("ssh from %s: got %q", from, got)
			}
		}
	}, g)
	sub(t, "IPv6", func(t *testing.T) {
		text := s.until("sudo ip -n b1 -6 -o addr show dev e0 scope global -tentative", "inet6 fd")
		six := regexp.MustCompile(`inet6 (fd[0-9a-f:]+)/64`).FindStringSubmatch(text)[1]
		s.until("ip -6 -o addr show dev up0 scope global -tentative", "inet6 2001:db8:77:")
		s.run("sudo ip netns exec b1 ping -c 2 -w 20 2001:db8:77::1")
		tcp("b1", "modem", "2001:db8:77::1")
		up := regexp.MustCompile(`inet6 (2001:db8:77:[0-9a-f:]+)/`).FindStringSubmatch(s.run("ip -6 -o addr show dev up0 scope global"))[1]
		s.run("sudo ip -n modem route add fd00::/8 via " + up)
		shut("sudo ip netns exec modem ping -c 2 -w 5 " + six)
	}, g)
	sub(t, "a change", func(t *testing.T) {
		s.run("sudo mkfifo /run/long.pipe /run/word.pipe")
		s.run("(sudo sh -c 'exec 3<>/run/long.pipe; ip netns exec modem busybox nc -l -p 7100 </run/long.pipe >/run/long.out') </dev/null >/dev/null 2>&1 &")
		s.until("sudo ip netns exec modem ss -ltn", ":7100")
		s.run("(sudo sh -c 'exec 3<>/run/word.pipe; ip netns exec b1 busybox nc 192.168.77.1 7100 </run/word.pipe') </dev/null >/dev/null 2>&1 &")
		s.run("sudo sh -c 'echo before >/run/word.pipe'")
		s.until("sudo cat /run/long.out", "before")
		s.run("sudo mkdir -p /var/lib/rancher/k3os/config.d && echo \"router: {forwards: [{port: 7000, to: '10.77.0.60:7000'}, {port: 7200, to: '10.77.0.60:22'}]}\" | sudo tee /var/lib/rancher/k3os/config.d/90-more && sudo shelf config reload")
		s.until("sudo nft list table inet shelf", "dport 7200")
		s.run("sudo sh -c 'echo after >/run/word.pipe'")
		s.until("sudo cat /run/long.out", "before\nafter")
		if got := s.run("sudo nft list tables"); !strings.Contains(got, "table inet other") {
			t.Errorf("the tables of others are gone: %s", got)
		}
		tcp("modem", "b1", own)
	}, g)
	s.off()
}
