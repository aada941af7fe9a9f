package scenarios

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"imgbuild/qemu/vm"
)

// outside is an address of nobody (RFC 5737) that a confined service asks all the time, and
// outsideName a name, as DNS has it.
const (
	outside     = "203.0.113.7"
	outsideName = "\x04leak\x07example\x00"
)

// framesOutside counts the frames of a capture (pcap) that come from or go to the address outside,
// and those with the name.
func framesOutside(t *testing.T, capture string) (address, name int) {
	t.Helper()
	data, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	want := netip.MustParseAddr(outside).AsSlice()
	for data = data[min(24, len(data)):]; len(data) >= 16; {
		n := int(binary.LittleEndian.Uint32(data[8:]))
		if len(data) < 16+n {
			break // it is being written
		}
		frame := data[16 : 16+n]
		data = data[16+n:]
		if len(frame) >= 34 && frame[12] == 8 && frame[13] == 0 && (bytes.Equal(frame[26:30], want) || bytes.Equal(frame[30:34], want)) {
			address++
		}
		if bytes.Contains(frame, []byte(outsideName)) {
			name++
		}
	}
	return address, name
}

// TestConfinedServices runs two confined services with the two ends of a tunnel on one node: what
// one of them sees of the other, of the node and of the network, while the tunnel is up, down, up
// again and flapping. A capture of the node's card shows that nothing of it goes around the tunnel.
func TestConfinedServices(t *testing.T) {
	t.Parallel()
	var keys [2]wgtypes.Key
	for i := range keys {
		var err error
		if keys[i], err = wgtypes.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	config := cloudConfig("confined", fmt.Sprintf(`
boot_cmd:
- mkdir -p /var/lib/near && chown rancher /var/lib/near
write_files:
- {path: /var/lib/www/hello, content: it is far, permissions: '0644'}
- {path: /var/lib/secret, content: nobody reads this, permissions: '0644'}
- path: /var/lib/far.conf
  permissions: '0600'
  content: |
    [Interface]
    PrivateKey = %s
    Address = 10.64.0.1/24
    ListenPort = 51820
    [Peer]
    PublicKey = %s
    AllowedIPs = 10.64.0.2/32
- path: /var/lib/near.conf
  permissions: '0600'
  content: |
    [Interface]
    PrivateKey = %s
    Address = 10.64.0.2/32
    DNS = 10.64.0.1
    [Peer]
    PublicKey = %s
    AllowedIPs = 0.0.0.0/0, ::/0
    Endpoint = 127.0.0.1:51820
- path: /var/lib/bad.conf
  permissions: '0600'
  content: |
    [Interface]
    PostUp = touch /run/post-up
services:
  far:
    user: rancher
    command: [busybox, httpd, -f, -p, '10.64.0.1:8000', -h, /var/lib/www]
    confined: {read: [/var/lib/www], wireguard: /var/lib/far.conf}
  near:
    user: rancher
    command: |
      busybox httpd -p 127.0.0.1:8080 -h /var/lib/near
      while :; do
        far=$(busybox wget -T 3 -q -O - http://10.64.0.1:8000/hello 2>&1 | busybox head -n 1)
        node=$(busybox nc -w 2 10.0.2.15 22 2>/dev/null < /dev/null | busybox head -n 1)
        busybox nc -w 1 203.0.113.7 9 </dev/null >/dev/null 2>&1
        busybox wget -T 1 -q -O /dev/null http://leak.example/ >/dev/null 2>&1
        secret=$(busybox cat /var/lib/secret /root/.bashrc /var/lib/near.conf /etc/shadow 2>/dev/null)
        echo "far=$far node=$node secret=$secret dns=$(busybox cat /etc/resolv.conf)" > /var/lib/near/new
        busybox mv /var/lib/near/new /var/lib/near/now
        busybox sleep 1
      done
    ready: {tcp: '127.0.0.1:8080'}
    confined: {write: [/var/lib/near], wireguard: /var/lib/near.conf, publish: {'8080': 10.0.2.0/24}}
  bad:
    user: rancher
    command: [busybox, sleep, '1000']
    confined: {wireguard: /var/lib/bad.conf}
`, keys[0], keys[1].PublicKey(), keys[1], keys[0].PublicKey()))
	im := build(t, config, "board=qemu-arm64", "role=worker", "k3s=none")
	capture := filepath.Join(t.TempDir(), "capture.pcap")
	g := boot(t, vm.Options{Image: im.Image, Name: "confined", Direct: true, Args: []string{"-object", "filter-dump,id=capture,netdev=user,file=" + capture}})[0]
	g.up()
	s := g.login()
	const now = "cat /var/lib/near/now"
	const isolated = "node= secret= dns=nameserver 10.64.0.1"
	sub(t, "through the tunnel and no other way", func(t *testing.T) {
		if all := s.until(now, "far=it is far"); !strings.Contains(all, isolated) {
			t.Errorf("got %s, want %s", all, isolated)
		}
	}, g)
	// The process inside, seen from the node.
	inside := "P=" + s.run(`sudo sh -c 'for p in /proc/[0-9]*; do grep -qs "^ *0 *1000 *1$" $p/uid_map && grep -qs /var/lib/near/new $p/cmdline && echo ${p#/proc/} && break; done'`) + "; "
	sub(t, "who it is", func(t *testing.T) {
		all := s.run(inside + `sudo grep -E '^(Uid|CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/$P/status; sudo nsenter -t $P -n ip -o link; sudo nsenter -t $P -n ip route; stat -c 'owner %U' /var/lib/near/now`)
		for _, want := range []string{"Uid:\t1000\t1000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2", "NoNewPrivs:\t1", "wg0:", "default dev wg0", "owner rancher"} {
			if !strings.Contains(all, want) {
				t.Errorf("%q is not among\n%s", want, all)
			}
		}
		if strings.Contains(all, "eth0") {
			t.Errorf("it has the node's card:\n%s", all)
		}
	}, g)
	sub(t, "down and up", func(t *testing.T) {
		for range 2 {
			s.run(inside + "sudo nsenter -t $P -n ip link set wg0 down")
			if all := s.until(now, "far=wget: can't connect to remote host"); !strings.Contains(all, "nreachable") || !strings.Contains(all, isolated) {
				t.Errorf("got %s, want no network", all)
			}
			s.run(inside + "sudo nsenter -t $P -n ip link set wg0 up")
			if all := s.until(now, "far=it is far"); !strings.Contains(all, isolated) {
				t.Errorf("got %s, want the tunnel again and nothing else", all)
			}
		}
	}, g)
	sub(t, "flapping", func(t *testing.T) {
		s.run("sudo rm /var/lib/near/now")
		s.run(inside + "sudo nsenter -t $P -n sh -c 'i=0; while [ $i -lt 40 ]; do ip link set wg0 down; ip link set wg0 up; i=$((i+1)); done'")
		if all := s.until(now, "far=it is far"); !strings.Contains(all, isolated) {
			t.Errorf("got %s, want the tunnel again and nothing else", all)
		}
	}, g)
	sub(t, "published", func(t *testing.T) {
		if all := s.until("busybox wget -T 5 -q -O - http://127.0.0.1:8080/now; busybox wget -T 5 -q -O - http://10.0.2.15:8080/now", "far=it is far"); strings.Count(all, "far=") != 2 {
			t.Errorf("got %s, want the page at both addresses", all)
		}
	}, g)
	sub(t, "a file with a command", func(t *testing.T) {
		if all := s.until("shelf logs bad; ls /run/post-up 2>&1; true", "PostUp would run a command"); !strings.Contains(all, "No such file") {
			t.Errorf("got %s, want that it was not run", all)
		}
	}, g)
	// The end of a service takes its tunnel and its port along.
	sub(t, "stopped", func(t *testing.T) {
		s.run("sudo shelf stop near")
		if all, _ := s.try("busybox wget -T 5 -q -O - http://127.0.0.1:8080/now 2>&1; ip -o link; rm -f /var/lib/near/now; sudo shelf start near"); !strings.Contains(all, "refused") || strings.Contains(all, "shelf-") {
			t.Errorf("got %s, want that nobody listens", all)
		}
		s.until(now, "far=it is far")
	}, g)
	sub(t, "nothing went around the tunnel", func(t *testing.T) {
		if address, name := framesOutside(t, capture); address != 0 || name != 0 {
			t.Errorf("%d packets to %s and %d with the name left the node", address, outside, name)
		}
		// The capture sees what is sent.
		s.run("busybox nc -w 1 " + outside + " 9 </dev/null; busybox wget -T 5 -q -O /dev/null http://leak.example/; true")
		if address, name := framesOutside(t, capture); address == 0 || name == 0 {
			t.Errorf("what the node itself sent: %d packets to %s and %d with the name, want some", address, outside, name)
		}
	}, g)
	s.off()
}
