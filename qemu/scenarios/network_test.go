package scenarios

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/vm"
)

// The radios of this test are simulated ones: one is the node's, the other an access point in a
// network namespace of its own, where the card on QEMU's network is bridged to it. So every login
// on the node comes over Wi-Fi; there is no other way.
const accessPoint = `
write_files:
- path: /etc/hostapd.conf
  permissions: '0600'
  content: |
    interface=wlan1
    bridge=br0
    ssid=shelf
    country_code=DE
    hw_mode=g
    channel=1
    auth_algs=1
    wpa=2
    wpa_key_mgmt=WPA-PSK SAE
    rsn_pairwise=CCMP
    ieee80211w=1
    wpa_passphrase=correct horse
    sae_password=correct horse
boot_cmd:
- modprobe mac80211_hwsim radios=2
- ip netns add ap && iw phy phy1 set netns name ap && ip link set eth0 netns ap
- ip netns exec ap sh -c 'ip link add br0 type bridge && ip link set eth0 master br0 && ip link set eth0 up && ip link set br0 up && hostapd -B /etc/hostapd.conf'
`

// radioNode is the node's config.yaml: the address of the card on the cable, which is found by its
// MAC, further interfaces and sections of network, and the passphrase of its Wi-Fi.
func radioNode(address, interfaces, sections, passphrase, key string) string {
	return cloudConfig("shelf-radio", "- "+key+accessPoint) + `
network:
  country: DE
  interfaces:
  - {mac: '52:54:00:00:09:02', addresses: [` + address + `/24], optional: true, dns: [10.9.8.1], routes: [{to: 10.77.0.0/16, via: 10.9.8.1}]}
` + interfaces + sections + `  wifi:
  - {name: shelf, passphrase: ` + passphrase + `}
`
}

// TestNetwork boots a node whose only way in is Wi-Fi, with a second card on a cable, and changes
// its network while it runs: what is wrong is taken back, what is right stays, a reset in the
// middle of a trial included.
func TestNetwork(t *testing.T) {
	t.Parallel()
	laptop := newLaptop(t)
	const secret = "correct horse"
	config := func(address, interfaces, sections, passphrase string) string {
		return radioNode(address, interfaces, sections, passphrase, laptop.public)
	}
	im := build(t, config("10.9.8.77", "", "", secret), "board=qemu-arm64", "role=worker", "k3s=none", "packages=hostapd")
	net, card := testLAN(t)
	g := boot(t, vm.Options{Image: im.Image, Name: "radio", Direct: true, Links: []*vm.Link{card}})[0]
	g.up()
	s := g.login()

	// Each command is a session of its own, which takes an emulated board seconds: what belongs
	// together is one.
	sub(t, "static and by dhcp", func(t *testing.T) {
		all := s.until("ip -4 -o addr; ip route get 10.77.1.2; cat /etc/resolv.conf; sudo stat -c 'mode %a %U' /run/shelf/wpa_supplicant.conf", "inet 10.9.8.77/24")
		for _, want := range []string{"inet 10.0.2.15/24", "10.77.1.2 via 10.9.8.1 dev eth1", "nameserver 10.9.8.1", "nameserver 10.0.2.3", "mode 600 root"} {
			if !strings.Contains(all, want) {
				t.Errorf("%q is not among\n%s", want, all)
			}
		}
		if len(net.Leases) != 0 {
			t.Errorf("the static card asked for a lease as %s: got %v, want 0", <-net.Leases, len(net.Leases))
		}
	}, g)
	sub(t, "the name in the local network", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for _, c := range []struct {
			name string
			kind uint16
			want []string
		}{
			{"shelf-radio.local.", dns.TypeA, []string{"A 10.9.8.77", "AAAA fe80:"}},
			{"_ssh._tcp.local.", dns.TypePTR, []string{"PTR shelf-radio._ssh._tcp.local.", "SRV 0 0 22 shelf-radio.local.", "A 10.9.8.77"}},
		} {
			list, err := net.Resolve(ctx, c.name, c.kind)
			all := strings.ReplaceAll(fmt.Sprint(list), "\t", " ")
			for _, want := range c.want {
				if err != nil || !strings.Contains(all, " "+want) || strings.Contains(all, "10.0.2.15") {
					t.Errorf("%s: got %s, %v, want %q, and no address of another link", c.name, all, err, want)
				}
			}
		}
		// Wi-Fi and the cable, and neither the port of the access point's bridge nor anything else.
		if all := s.run("shelf status | grep ^mdns; grep -c FB0000E0 /proc/net/igmp"); !strings.Contains(all, "shelf-radio.local on eth1, wlan0\n2") {
			t.Errorf("got %s, want the name on eth1 and wlan0", all)
		}
	}, g)
	sub(t, "link loss and return", func(t *testing.T) {
		for _, up := range []bool{false, true} {
			if err := g.SetLink(0, up); err != nil {
				t.Fatal(err)
			}
			g.see(map[bool]string{false: `eth1: link is down`, true: `eth1: link is up`}[up])
		}
		s.until("echo > /dev/udp/10.9.8.1/9; ip neigh show dev eth1", "lladdr 52:54:00:00:09:01") // it answers again
		s.until("[ -e /run/was-down ] || { sudo ip link set eth1 down; sudo ip link set eth1 up; sudo touch /run/was-down; }; ip route get 10.77.1.2", "via 10.9.8.1 dev eth1")
	}, g)
	sub(t, "an old login confirms nothing", func(t *testing.T) {
		out := s.run(`sudo sed 's/10.9.8.77/10.9.8.78/' /k3os/config/system.yaml | sudo shelf config apply try=600
			until ip -4 -o addr show dev eth1 | grep 10.9.8.78; do sleep 0.2; done
			for i in 1 2 3; do sudo shelf config confirm 2>&1 && break; sleep 1; done
			sudo shelf config revert
			until ip -4 -o addr show dev eth1 | grep 10.9.8.77; do sleep 0.2; done`)
		for _, want := range []string{"10.9.8.77/24] -> [10.9.8.78/24]", "older than the change", "inet 10.9.8.78/24", "inet 10.9.8.77/24"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not among\n%s", want, out)
			}
		}
	}, g)

	const vlan, vlans = "  - {name: vlan5, addresses: [10.5.0.1/24], optional: true}\n", "  vlans: [{name: vlan5, parent: eth1, id: 5}]\n"
	sub(t, "a wrong address is taken back", func(t *testing.T) {
		bad := config("10.9.8.80", vlan+"  - {name: wlan0, addresses: [10.0.2.99/24], gateway: 10.0.2.2}\n", vlans, secret)
		out, code := laptop.apply(t, g, bad, "try=10")
		if code != int(fault.Network) || !strings.Contains(out, "goes back to the one before by itself") || !strings.Contains(out, "10.0.2.99/24") {
			t.Errorf("code %d: %s", code, out)
		}
		g.see(`the configuration was taken back`)
		g.login().until("ip -4 -o addr show dev eth1", "10.9.8.77")
	}, g)
	sub(t, "a wrong passphrase is taken back", func(t *testing.T) {
		out, code := laptop.apply(t, g, config("10.9.8.77", "", "", "wrong battery"), "try=35")
		if code != int(fault.Network) || strings.Contains(out, "wrong battery") || !strings.Contains(out, "network.wifi[0].passphrase: ********") {
			t.Errorf("code %d: %s", code, out)
		}
		g.see(`the configuration was taken back`)
		if !strings.Contains(g.Output(), "network wlan0: the access point does not let the node in; the passphrase may be wrong") {
			t.Error("the reason for no Wi-Fi is not reported")
		}
		g.login()
	}, g)
	sub(t, "what is right stays", func(t *testing.T) {
		out, code := laptop.apply(t, g, config("10.9.8.80", vlan, vlans, secret), "try=60")
		if code != 0 || !strings.Contains(out, "confirmed by a new login") {
			t.Fatalf("code %d: %s", code, out)
		}
		s := g.login()
		if all := s.until("ip -4 -o addr; ip -d link show vlan5; sudo grep 10.9.8.80 /k3os/config/system.yaml && sync", "10.9.8.80/24"); !strings.Contains(all, "inet 10.5.0.1/24") || !strings.Contains(all, "id 5") {
			t.Errorf("the node has\n%s", all)
		}
	}, g)
	if full { // one more boot
		sub(t, "a reset during a trial is the way back", func(t *testing.T) {
			s := g.login()
			s.run("sudo sed 's/10.9.8.80/10.9.8.81/' /k3os/config/system.yaml | sudo shelf config apply try=600")
			s.until("ip -4 -o addr show dev eth1", "10.9.8.81")
			if err := g.Reset(); err != nil {
				t.Fatal(err)
			}
			g.up()
			s = g.login()
			if got := s.until("ip -4 -o addr show dev eth1", "inet "); !strings.Contains(got, "10.9.8.80/24") || strings.Contains(got, "10.9.8.81") {
				t.Errorf("after the reset:\n%s", got)
			}
		}, g)
	}
	g.login().off()
}

// laptop is somebody's home directory with a key of its own and no known hosts.
type laptop struct{ home, public, dir string } // dir: where imgbuild runs; empty: here

func newLaptop(t *testing.T) laptop {
	t.Helper()
	dir := filepath.Join(t.TempDir(), ".ssh")
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "id_ed25519"), pem.EncodeToMemory(block), 0o600)
	}
	var key ssh.PublicKey
	if err == nil {
		key, err = ssh.NewPublicKey(pub)
	}
	if err != nil {
		t.Fatal(err)
	}
	return laptop{home: filepath.Dir(dir), public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))}
}

// apply runs imgbuild apply against a guest and returns what it prints and its exit code.
func (l laptop) apply(t *testing.T, g *guest, config string, words ...string) (string, int) {
	t.Helper()
	return l.imgbuild(t, append([]string{"apply", g.Forward[22], "config=" + l.file(t, config), "key=accept-new"}, words...)...)
}

// imgbuild runs the public command as the owner of the laptop.
func (l laptop) imgbuild(t *testing.T, words ...string) (string, int) {
	t.Helper()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, words...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "HOME="+l.home, "SSH_AUTH_SOCK=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (l laptop) file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
