package scenarios

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/qemu/vm"
)

// TestOldConfig writes to a card what its owner had on k3OS: a first config.yaml with a tab in it,
// which is no YAML; a part that sets the address by a file for connman and names a stick and an
// address with a signature; a stick called CIDATA with a partition of FAT. It is seen with
// IMGBUILD_FULL only.
func TestOldConfig(t *testing.T) {
	rows := []string{"the first file is broken"}
	if !full {
		rows = nil
	}
	for _, name := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oldConfig(t)
		})
	}
}

func oldConfig(t *testing.T) {
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64")) // as in TestWorker
	key, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := []byte("#cloud-config\nk3os: {environment: {FROM: signed}}\n") // write_files here would replace those of the part
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".minisig") {
			w.Write(minisign.Sign(secret, signed))
			return
		}
		w.Write(signed)
	}))
	t.Cleanup(server.Close)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	card := filepath.Join(t.TempDir(), "card.img")
	duplicate(t, im.Image, card)
	onBoot(t, card, "config.yaml", fmt.Sprintf("hostname: shelf-old\r\nssh_authorized_keys:\r\n- %s\r\nk3os:\r\n  token: the-token-of-this-cluster\r\n\tserver_url: https://192.0.2.1:6443\r\n  sysctls: {vm.swappiness: 7}\r\n", public))
	onBoot(t, card, "config.d/50-more.yaml", fmt.Sprintf(`write_files:
- path: /var/lib/connman/default.config
  content: |
    [service_eth0]
    Type = ethernet
    IPv4 = 10.0.2.15/255.255.255.0/10.0.2.2
    Nameservers = 10.0.2.3
k3os:
  data_sources: [cidata, 'http://10.0.2.2:%s/node.yaml#minisign=%s']
`, port, key))
	stick := fatStick(t, "CIDATA", "user-data", "#cloud-config\nbootcmd:\n- echo from the stick > /run/stick\n")
	g := boot(t, vm.Options{Image: card, Name: "old", Machine: "virt", Size: 4 << 30,
		Args: []string{"-device", "qemu-xhci", "-drive", "if=none,id=stick,format=raw,readonly=on,file=" + stick, "-device", "usb-storage,drive=stick"}})[0]
	g.up()
	s := g.login()
	sub(t, "what can be read of it", func(t *testing.T) {
		if got := s.run("hostname; cat /proc/sys/vm/swappiness"); got != "shelf-old\n7" {
			t.Errorf("%q", got)
		}
		got := strings.Join(strings.Fields(s.run("sudo cat /boot/report.txt")), " ")
		if !strings.Contains(got, "config.yaml:5:3: error: this is not YAML") || !strings.Contains(got, "replace the tab at the start of line 6 by spaces") {
			t.Errorf("the tab is not reported:\n%.3000s", got)
		}
		if !strings.Contains(got, "config.yaml is not imported") {
			t.Errorf("that the file is not taken over is not reported:\n%.3000s", got)
		}
	}, g)
	sub(t, "an address by connman", func(t *testing.T) {
		if got := s.run("ip -4 addr show eth0; ip route; cat /etc/resolv.conf"); !strings.Contains(got, "inet 10.0.2.15/24") || strings.Contains(got, "dynamic") || !strings.Contains(got, "default via 10.0.2.2") || !strings.Contains(got, "nameserver 10.0.2.3") {
			t.Errorf("%s", got)
		}
	}, g)
	sub(t, "a stick with a partition of FAT", func(t *testing.T) {
		if got := s.run("cat /run/stick"); got != "from the stick" {
			t.Errorf("%q", got)
		}
	}, g)
	sub(t, "an address with a signature", func(t *testing.T) { s.until(". /etc/profile.d/00-environment.sh; echo $FROM", "signed") }, g)
	// The file is corrected.
	s.off()
	onBoot(t, g.Disk, "config.yaml", fmt.Sprintf("hostname: shelf-new\nssh_authorized_keys:\n- %s\nk3os:\n  token: the-token-of-this-cluster\n", public))
	g = boot(t, vm.Options{Image: g.Disk, Kept: true, Name: "old", Machine: "virt"})[0]
	g.up()
	s = g.login()
	if got := s.run("hostname; sudo grep -c the-token /boot/config.yaml; sudo shelf config | grep token"); !strings.HasPrefix(got, "shelf-new\n0\n") {
		t.Errorf("%q", got)
	}
	s.off()
}

// fatStick makes a disk whose one partition is a FAT volume with one file.
func fatStick(t *testing.T, label, name, text string) string {
	t.Helper()
	const start, size = 2048, 64 << 20 // sectors, bytes
	path, content := filepath.Join(t.TempDir(), "stick.img"), filepath.Join(t.TempDir(), "content")
	mbr := make([]byte, 512)
	mbr[510], mbr[511], mbr[446+4] = 0x55, 0xAA, 0x0C
	binary.LittleEndian.PutUint32(mbr[446+8:], start)
	binary.LittleEndian.PutUint32(mbr[446+12:], size/512-start)
	if err := os.WriteFile(path, mbr, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(content, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ref(t, "mkfs.vfat", "--offset", fmt.Sprint(start), "-n", label, path, fmt.Sprint((size-start*512)/1024))
	ref(t, "mcopy", "-i", path+"@@1M", content, "::"+name)
	return path
}
