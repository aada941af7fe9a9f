package scenarios

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/vm"
)

// TestConfig takes a card through the places where settings come from: Raspberry Pi Imager's files
// and a part of config.d on BOOT, with a mistake in it, a USB stick called CIDATA, an address with
// a hash; then a file on the node, which comes and goes while the node runs.
func TestConfig(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64")) // as in TestWorker
	second, secondLine := newKey(t)
	third, thirdLine := newKey(t)
	fetched := fmt.Sprintf("ssh_authorized_keys:\n- %s\n- %s\n", public, secondLine)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, fetched) }))
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	card := filepath.Join(t.TempDir(), "card.img")
	duplicate(t, im.Image, card)
	onBoot(t, card, "user-data", `#cloud-config
hostname: hidden-by-config-yaml
timezone: Europe/Berlin
packages: [avahi-daemon]
users:
- name: pi
  lock_passwd: false
  passwd: $6$salt1234$7vYDzW/0BSK6g.QJXnin/odIMK9hfjAdb4JkTDxpk.1htoyOUm8eFCuJUZ4J9d1Z.KGmArwsl5OLBN1nBRZRZ0
runcmd:
- [ rfkill, unblock, wifi ]
- [ sh, -c, "false" ]
- [ sh, -c, "echo 'from Imager' > /run/imager" ]
`)
	onBoot(t, card, "network-config", "network:\n  version: 2\n  wifis:\n    wlan0:\n      regulatory-domain: \"DE\"\n      access-points:\n        \"home\":\n          password: \"wifi-secret-1\"\n      optional: true\n")
	onBoot(t, card, "config.d/50-more.yaml", fmt.Sprintf(`k3os:
  data_sources:
  - cidata
  - http://10.0.2.2:%s/node.yaml#sha256=%x
  sysctls: {vm.swappiness: 7}
  lables: {a: b}
  token: the-token-of-this-cluster
memory: {zram: 64M}
write_files:
- {path: /opt/part, content: from the part}
`, port, sha256.Sum256([]byte(fetched))))

	stick := isoStick(t, map[string]string{"user-data": "#cloud-config\nbootcmd:\n- echo from the stick > /run/stick\nk3os: {environment: {FROM: stick}}\n", "meta-data": "instance-id: 1\n"})
	g := boot(t, vm.Options{Image: card, Name: "config", Machine: "virt", Size: 4 << 30,
		Args: []string{"-device", "qemu-xhci", "-drive", "if=none,id=stick,format=raw,readonly=on,file=" + stick, "-device", "usb-storage,drive=stick"}})[0]
	g.up()
	s := g.login()

	sub(t, "BOOT", func(t *testing.T) {
		if got := s.run("hostname; cat /etc/timezone; cat /opt/part; cat /proc/sys/vm/swappiness"); got != "shelf-worker\nEurope/Berlin\nfrom the part7" {
			t.Errorf("%q", got)
		}
		s.until("cat /run/imager", "from Imager")
		if got := s.run("sudo grep ^rancher: /etc/shadow"); !strings.HasPrefix(got, "rancher:$6$salt1234$7vYDz") {
			t.Errorf("the password is not Imager's: %.30s", got)
		}
		if got := s.run("sudo cat /boot/user-data /boot/network-config /boot/config.d/50-more.yaml"); strings.Contains(got, "secret-1") || strings.Contains(got, "salt1234") || strings.Contains(got, "the-token") || !strings.Contains(got, "regulatory-domain") {
			t.Errorf("secrets on BOOT:\n%s", got)
		}
	}, g)
	sub(t, "a mistake", func(t *testing.T) {
		got := strings.Join(strings.Fields(s.run("sudo cat /boot/report.txt")), " ") // its lines are folded
		if !strings.Contains(got, "config.d/50-more.yaml:6:3: warning: k3os.lables: there is no such key; it is ignored How to fix it: did you mean k3os.labels?") {
			t.Errorf("the mistake is not reported:\n%.3000s", got)
		}
	}, g)
	sub(t, "a stick called CIDATA", func(t *testing.T) {
		if got := s.run("cat /run/stick; . /etc/profile.d/00-environment.sh; echo $FROM"); got != "from the stick\nstick" {
			t.Errorf("%q", got)
		}
	}, g)
	sub(t, "an address with a hash", func(t *testing.T) {
		s.until("cat .ssh/authorized_keys", secondLine)
		if !opens(g, second) {
			t.Error("the fetched key does not open the door")
		}
	}, g)
	sub(t, "what is taken out loses its effect", func(t *testing.T) {
		more := fmt.Sprintf("ssh_authorized_keys: ['%s', '%s']\nk3os:\n  password: in clear text\n  sysctls: {vm.swappiness: 33}\n  environment: {FROM: node}\nmemory: {zram: 32M}\nwrite_files:\n- {path: /opt/more, content: x}\n- {path: /etc/motd, content: x}\n", public, thirdLine)
		const dir, name = "/var/lib/rancher/k3os/config.d", "/var/lib/rancher/k3os/config.d/90-more"
		s.run("sudo mkdir -p " + dir + "; cat /etc/motd > /tmp/motd; echo old | sudo tee /opt/more")
		if out, err := s.RunInput(t.Context(), "sudo tee "+name+" >/dev/null && sudo shelf config reload", []byte(more)); err != nil {
			t.Fatal(out, err)
		}
		s.until("cat /proc/sys/vm/swappiness", "33")
		s.until("cat /opt/more /etc/motd", "xx")
		s.until("cat /proc/swaps; cat /sys/block/zram0/disksize", "33554432")
		if _, err := s.try("ls /opt/part"); err == nil {
			t.Error("the list of files was replaced, and a file of the old one is still there")
		}
		if !opens(g, third) || strings.Contains(s.run("cat .ssh/authorized_keys"), secondLine) {
			t.Error("the keys are not those of the file")
		}
		if got := s.run("sudo grep ^rancher: /etc/shadow"); strings.Contains(got, "clear") || !strings.HasPrefix(got, "rancher:$6$") || strings.Contains(got, "salt1234") {
			t.Errorf("password: %.40s", got)
		}
		s.run("sudo rm " + name + " && sudo shelf config reload")
		s.until("cat /proc/sys/vm/swappiness", "7")
		s.until("cat /opt/more", "old")
		s.until("awk 'NR > 1 {print $1, $3}' /proc/swaps", "/dev/zram0 65532")
		if got := s.run("cmp /etc/motd /tmp/motd; cat /opt/part; . /etc/profile.d/00-environment.sh; echo $FROM"); got != "from the partstick" {
			t.Errorf("%q", got)
		}
		if opens(g, third) || !strings.Contains(s.run("cat .ssh/authorized_keys"), secondLine) {
			t.Error("the keys are not those of before")
		}
		if got := s.run("sudo grep ^rancher: /etc/shadow"); !strings.HasPrefix(got, "rancher:$6$salt1234$") {
			t.Errorf("password: %.40s", got)
		}
	}, g)
	s.off()
}

// opens reports whether a key opens the door.
func opens(g *guest, key ssh.Signer) bool {
	c, err := ssh.Dial("tcp", g.Forward[22], &ssh.ClientConfig{User: "rancher", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err == nil {
		c.Close()
	}
	return err == nil
}

// newKey makes a key and its line of authorized_keys.
func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, signer := makeKey(t)
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// isoStick makes an ISO 9660 volume called CIDATA.
func isoStick(t *testing.T, files map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stick.iso")
	b, err := file.CreateFromPath(path, 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fs, err := iso9660.Create(b, 4<<20, 0, 2048, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		f, err := fs.OpenFile("/"+name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, VolumeIdentifier: "CIDATA"}); err != nil {
		t.Fatal(err)
	}
	return path
}
