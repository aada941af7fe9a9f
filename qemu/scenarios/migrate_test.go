package scenarios

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/mbr"
	"imgbuild/qemu/vm"
)

// oldNode is what is on a card of k3OS or picl, by path below the partition's root; a value "->
// x" is a link.
func oldNode(t *testing.T, hostname, config string, more map[string]string) (files map[string]string, key ssh.PublicKey) {
	t.Helper()
	private, signer := makeKey(t)
	const own = "k3os/data/var/lib/rancher/k3os/"
	files = map[string]string{
		"k3os/system/config.yaml":           config,
		"k3os/system/k3s/current":           "-> v1.34.2+k3s1",
		"k3os/system/k3s/v1.34.2+k3s1/k3s":  "the old k3s",
		own + "hostname":                    hostname + "\n",
		own + "node/password":               "the-node-password",
		own + "ssh/ssh_host_ed25519_key":    string(private),
		own + "ssh/sshd_config":             "PermitRootLogin yes\n",
		"k3os/data/var/lib/dbus/machine-id": "0123456789abcdef0123456789abcdef\n",
	}
	for k, v := range more {
		files[k] = v
	}
	return files, signer.PublicKey()
}

// oldCard makes a card with the reference tools: an ext4 of the files on the second partition of an
// MBR disk. commands are debugfs'.
func oldCard(t *testing.T, label string, files map[string]string, commands ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, "tree", name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, link := strings.CutPrefix(content, "-> "); err == nil && link {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	part, card, script := filepath.Join(dir, "part"), filepath.Join(dir, "card.img"), filepath.Join(dir, "script")
	ref(t, "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-d", filepath.Join(dir, "tree"), part, "64M")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref(t, "debugfs", "-w", "-f", script, part)
	content, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	const start = 129024 // 59 MB for the firmware, as picl has it
	table := mbr.Table{Signature: 1, Partitions: [4]mbr.Partition{{Start: 8192, Sectors: start - 8192, Type: mbr.FAT32}, {Start: start, Sectors: uint32(len(content) / 512), Type: mbr.Linux}}}
	first, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	disk := append(make([]byte, start*512), content...)
	copy(disk, first[:])
	if err := os.WriteFile(card, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return card
}

// imgbuild runs the public command and returns what it prints.
func imgbuild(t *testing.T, words ...string) []byte {
	t.Helper()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	run := func(dir string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), program, words...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
		err := cmd.Run()
		return stdout.Bytes(), err
	}
	if strings.HasPrefix(words[0], "board=") {
		err = withLock(program, words, run)
	} else {
		_, err = run("")
	}
	if err != nil {
		t.Fatalf("imgbuild %s: %v\n%s", strings.Join(words, " "), err, stderr.Bytes())
	}
	return stdout.Bytes()
}

// slotSum sums slot A of an image.
func slotSum(t *testing.T, image string) [32]byte {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 640<<20)
	if _, err := f.ReadAt(b, 240<<20); err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestMigrate takes a server off a picl card and puts it on one of ours: it comes up as the same
// node, with its data, and the system on the card is the one that everybody gets.
func TestMigrate(t *testing.T) {
	t.Parallel()
	const address = "52:54:00:12:34:56" // of QEMU's own network card
	noise := make([]byte, 6<<20)
	rand.Read(noise)
	const k3s = "k3os/data/var/lib/rancher/k3s/"
	config := fmt.Sprintf("ssh_authorized_keys:\n- %s\nhostname: pi-server\nk3os:\n  k3s_args: [server, --disable=traefik]\n  token: geheimes-wort\n", public)
	files, hostKey := oldNode(t, "k3os-4711", config, map[string]string{
		"k3os/system/config.yaml":                                        "-> /k3os/system/config/" + address + ".yaml",
		"k3os/system/config/" + address + ".yaml":                        config,
		"k3os/system/config/dc:a6:32:00:00:01.yaml":                      "hostname: other\nk3os: {token: anothers-token}\n",
		"k3os/data/var/lib/connman/ethernet_525400123456_cable/settings": "[ethernet_525400123456_cable]\nName=Wired\nIPv4.method=manual\nIPv4.netmask_prefixlen=24\nIPv4.local_address=10.0.2.15\nIPv4.gateway=10.0.2.2\nNameservers=10.0.2.3;\n",
		k3s + "server/db/state.db":                                       "old rows",
		k3s + "server/manifests/mine.yaml":                               "# mine\n",
		k3s + "server/manifests/system-upgrade-controller.yaml":          "# k3OS's\n",
		k3s + "storage/pvc-1/noise":                                      string(noise),
		"k3os/data/home/rancher/notes":                                   "notes",
		"k3os/data/var/local/bin/tool":                                   "#!/bin/sh\necho from the old card\n",
	})
	card := oldCard(t, "root", files, "sif /"+k3s+"storage/pvc-1/noise uid 70000", "sif /"+k3s+"storage/pvc-1/noise gid 70001",
		"sif /"+k3s+"storage/pvc-1 mode 040777", "sif /k3os/data/home/rancher/notes uid 1000", "sif /k3os/data/home/rancher uid 1000",
		"sif /k3os/data/var/local/bin/tool mode 0100755", "sif /k3os/data/var/local/bin/tool uid 0")
	node := filepath.Join(t.TempDir(), "node1.tar")
	var report struct{ Hostname, Role, K3s string }
	if err := json.Unmarshal(imgbuild(t, "migrate", card, "out="+node, "mode=full", "output=json"), &report); err != nil || report.Hostname != "pi-server" || report.Role != "server" || report.K3s != "v1.34.2+k3s1" {
		t.Fatalf("%+v %v", report, err)
	}
	words := []string{"board=rpi4", "role=server", "pack=no", "output=json", k3sOption(t), "import=" + node, "out=" + t.TempDir()}
	var im image
	if err := json.Unmarshal(imgbuild(t, words...), &im); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(im.Image); err != nil || info.Mode() != 0o600 {
		t.Errorf("the image, which has secrets in it, has mode %v, %v, want 0o600", info.Mode(), err)
	}
	if plain := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3sOption(t)); slotSum(t, plain.Image) != slotSum(t, im.Image) {
		t.Error("the slot is another one")
	}
	_, link := testLAN(t)
	g := boot(t, vm.Options{Image: im.Image, Name: "migrated", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{link}})[0]
	g.up()
	s := g.login()
	sub(t, "identity", func(t *testing.T) {
		if !bytes.Equal(s.HostKey.Marshal(), hostKey.Marshal()) {
			t.Error("the host key is not the old card's")
		}
		for command, want := range map[string]string{
			"hostname":                                "pi-server",
			"cat /etc/machine-id":                     "0123456789abcdef0123456789abcdef",
			"sudo cat /etc/rancher/node/password":     "the-node-password",
			"sudo cat /var/lib/rancher/k3os/hostname": "k3os-4711",
			"sudo grep -c PermitRootLogin.yes /etc/ssh/sshd_config || true": "0",
		} {
			if got := s.run(command); got != want {
				t.Errorf("%s: %q, want %q", command, got, want)
			}
		}
	}, g)
	sub(t, "data", func(t *testing.T) {
		sum := fmt.Sprintf("%x", sha256.Sum256(noise))
		for command, want := range map[string]string{
			"sudo cat /var/lib/rancher/k3s/server/db/state.db":                                          "old rows",
			"sudo cat /var/lib/rancher/k3s/server/manifests/mine.yaml":                                  "# mine",
			"sudo ls /var/lib/rancher/k3s/server/manifests/system-upgrade-controller.yaml 2>&1 || true": "No such file",
			"sudo sha256sum /var/lib/rancher/k3s/storage/pvc-1/noise":                                   sum,
			"sudo stat -c '%u:%g %a' /var/lib/rancher/k3s/storage/pvc-1/noise":                          "70000:70001 600",
			"sudo stat -c %a /var/lib/rancher/k3s/storage/pvc-1":                                        "777",
			"cat ~/notes":         "notes",
			"/usr/local/bin/tool": "from the old card",
		} {
			if got := s.run(command); !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", command, got, want)
			}
		}
	}, g)
	sub(t, "configuration", func(t *testing.T) {
		if got := s.run("sudo cat /boot/config.yaml"); !strings.Contains(got, "k3s_args") || strings.Contains(got, "geheimes-wort") {
			t.Errorf("BOOT has\n%s", got)
		}
		if got := s.run("sudo cat /k3os/config/system.yaml"); !strings.Contains(got, "geheimes-wort") {
			t.Errorf("the node has not kept its token:\n%s", got)
		}
		if got := s.run("sudo cat /k3os/config/config.d/10-connman.yaml; ip -4 addr"); !strings.Contains(got, "inet 10.0.2.15/24") || !strings.Contains(got, "dhcp: false") {
			t.Errorf("the static address of connman:\n%s", got)
		}
		if _, err := s.try("sudo grep -r anothers-token /k3os/config /var/lib/rancher/k3os /boot"); err == nil {
			t.Error("another node's token came along")
		}
	}, g)
	s.off()
	ref(t, "e2fsck", "-fn", dataFS(g.Disk))
}

func k3sOption(t *testing.T) string { return k3s(t, "arm64") }

// TestMigrateFresh boots a worker that was taken off a k3OS card: its name and keys, nothing else.
func TestMigrateFresh(t *testing.T) {
	if !full {
		return // the parts are in builder/migrate's tests; this is the same way as TestMigrate's
	}
	t.Parallel()
	files, hostKey := oldNode(t, "k3os-815", fmt.Sprintf("ssh_authorized_keys: ['%s']\nk3os: {server_url: 'https://10.9.0.1:6443', token: geheimes-wort}\n", public), map[string]string{
		"k3os/data/var/lib/rancher/k3s/agent/x": "y"})
	card := oldCard(t, "K3OS_STATE", files)
	node := filepath.Join(t.TempDir(), "node2.tar.zst")
	imgbuild(t, "migrate", card, "out="+node, "mode=fresh")
	var im image
	if err := json.Unmarshal(imgbuild(t, "board=qemu-arm64", "role=worker", "pack=no", "output=json", k3sOption(t), "import="+node, "out="+t.TempDir()), &im); err != nil {
		t.Fatal(err)
	}
	_, link := testLAN(t)
	g := boot(t, vm.Options{Image: im.Image, Name: "fresh", Size: 4 << 30, Links: []*vm.Link{link}})[0]
	g.see(`shelf: step services ok`) // k3s is not: there is no server to join
	s := g.login()
	if !bytes.Equal(s.HostKey.Marshal(), hostKey.Marshal()) {
		t.Error("the host key is not the old card's")
	}
	if got := s.run("hostname"); got != "k3os-815" {
		t.Errorf("its name is %q", got)
	}
	if _, err := s.try("sudo ls /var/lib/rancher/k3s/agent/x"); err == nil {
		t.Error("mode=fresh has taken k3s' data")
	}
	s.off()
}
