package qemu

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/qemu/sftpd"
	"imgbuild/qemu/vm"
)

// TestDataDisk boots a server whose k3s' data belong on a disk that is not there, plugs disks in and out, and looks that k3s
// runs on the right one and on nothing else.
func TestDataDisk(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-data", "data: {device: LABEL=k3sdata}\ntime: {wait: 1s}\n"), "board=qemu-arm64", "role=server", k3s(t, "arm64"))
	right, strange := filepath.Join(t.TempDir(), "right.img"), filepath.Join(t.TempDir(), "strange.img")
	for _, path := range []string{right, strange} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 64<<20); err != nil {
			t.Fatal(err)
		}
	}
	ref(t, "mke2fs", "-q", "-t", "ext4", "-L", "k3sdata", strange)
	ports := []string{"-device", "pcie-root-port,id=port0,chassis=1,slot=1", "-blockdev", "driver=raw,node-name=right,file.driver=file,file.filename=" + right,
		"-blockdev", "driver=raw,node-name=strange,file.driver=file,file.filename=" + strange}
	g := boot(t, vm.Options{Image: im.Image, Name: "data", Size: 4 << 30, Memory: 2048, Args: ports})[0]
	plug := func(name string) {
		t.Helper()
		if out, err := g.Monitor("device_add virtio-blk-pci,drive=" + name + ",id=disk0,bus=port0"); err != nil || strings.Contains(out, "rror") {
			t.Fatalf("%s, %v", out, err)
		}
	}
	for _, step := range []string{"preinit", "layout", "config", "network", "services"} {
		g.see(`shelf: step ` + step + ` ok`)
	}
	s := g.login()
	sub(t, "absent", func(t *testing.T) {
		g.see(`ready, but k3s: waiting: the data disk LABEL=k3sdata is not there`)
		if _, err := s.try("pidof k3s"); err == nil {
			t.Error("k3s runs without its disk")
		}
		if out, err := s.try("sudo ls /var/lib/rancher/k3s/server/db /var/lib/rancher/k3s/server/tls"); err == nil {
			t.Errorf("there is a datastore on the card:\n%s", out)
		}
		if out, err := s.try("sudo shelf status"); err == nil || !strings.Contains(out+err.Error(), "LABEL=k3sdata is not there") {
			t.Errorf("status says that all is well: %s, %v", out, err)
		}
	}, g)
	sub(t, "appears, without a file system", func(t *testing.T) {
		plug("right")
		s.until("ls /dev/vdb", "vdb")
		s.run("sudo mkfs.ext4 -q -L k3sdata /dev/vdb && sudo shelf config reload")
		s.until("sudo k3s kubectl get --raw /readyz", "ok")
		if got := s.run("sudo shelf disk"); !strings.Contains(got, "/dev/vdb") {
			t.Error(got)
		}
		if got := s.run("awk '$5 == \"/var/lib/rancher/k3s\" || $5 == \"/var/lib/kubelet\" {print $5, $4}' /proc/self/mountinfo"); got != "/var/lib/rancher/k3s /k3s\n/var/lib/kubelet /kubelet" {
			t.Errorf("mounts: %s", got)
		}
	}, g)
	const ca = "sudo sha256sum /var/lib/rancher/k3s/server/tls/server-ca.crt"
	before := s.run(ca)
	sub(t, "pulled out", func(t *testing.T) {
		if out, err := g.Monitor("device_del disk0"); err != nil || out != "" {
			t.Fatal(out, err)
		}
		g.see(`it was pulled out while it was in use`)
		s.until("pidof k3s || sudo shelf disk 2>&1 || true", "is not there")
	}, g)
	sub(t, "another disk of that name", func(t *testing.T) {
		plug("strange")
		s.until("sudo shelf disk 2>&1 || true", "is empty, but this node has its k3s data on another disk")
		if _, err := s.try("pidof k3s"); err == nil {
			t.Error("k3s runs on a strange disk")
		}
		if out, err := g.Monitor("device_del disk0"); err != nil || out != "" {
			t.Fatal(out, err)
		}
		s.until("sudo shelf disk 2>&1 || true", "is not there")
	}, g)
	sub(t, "back", func(t *testing.T) {
		plug("right")
		s.until("sudo k3s kubectl get --raw /readyz", "ok")
		if after := s.run(ca); after != before {
			t.Error("the cluster is another one")
		}
	}, g)
	s.off()
	ref(t, "e2fsck", "-fn", right)
	if h := ref(t, "tune2fs", "-l", right); strings.Contains(h, "needs_recovery") {
		t.Error("the data disk was not unmounted")
	}
	if out := ref(t, "debugfs", "-R", "ls -p /", strange); strings.Contains(out, "k3s") || strings.Contains(out, ".shelf") {
		t.Errorf("the strange disk was written to:\n%s", out)
	}
}

// TestBackupRestore makes a server, backs it up over sftp, and makes the same server again on an empty disk.
func TestBackupRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := sftpd.Start(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	_, port, _ := strings.Cut(d.Address, ":")
	laptop, line := keyFile(t)
	im := build(t, cloudConfig("shelf-backup", "- "+line+"\n"+
		"backup: {to: 'sftp://backup@"+vm.Host+":"+port+"/~/backups', keep: 2}\nk3os: {token: a-long-random-word}\naddons: {traefik: {values: {logs: {access: {enabled: true}}}}, servicelb: {enabled: false}}\ntime: {wait: 1s}\n"),
		"board=qemu-arm64", "role=server", k3s(t, "arm64"))
	g := boot(t, vm.Options{Image: im.Image, Name: "backup", Size: 4 << 30, Memory: 2048, Ports: []int{6443}})[0]
	g.up()
	s := g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	sub(t, "add-ons", func(t *testing.T) {
		if got := s.run("sudo cat /var/lib/rancher/k3s/server/manifests/shelf-traefik.yaml"); !strings.Contains(got, "kind: HelmChartConfig") {
			t.Error(got)
		}
		if got := s.run("sudo cat /etc/rancher/k3s/config.yaml.d/10-k3os.yaml"); !strings.Contains(got, "disable+:\n    - servicelb\n") {
			t.Error(got)
		}
	}, g)
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	sub(t, "kubeconfig", func(t *testing.T) {
		home := t.TempDir()
		out := filepath.Join(home, ".kube", "config")
		for range 2 {
			cmd := exec.Command(program, "kubeconfig", "rancher@"+g.Forward[22], "identity="+laptop, "key=accept-new", "name=shelf", "address="+g.Forward[6443])
			cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG=", "SSH_AUTH_SOCK=")
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		}
		st, err := os.Stat(out)
		if err != nil || st.Mode() != 0o600 {
			t.Fatal(st, err)
		}
		text, _ := os.ReadFile(out)
		if strings.Count(string(text), "server: https://"+g.Forward[6443]+"\n") != 1 || !strings.Contains(string(text), "current-context: shelf\n") {
			t.Errorf("%s", text)
		}
	}, g)
	if os.Getenv("IMGBUILD_K3S") == "" { // the stand-in has no database: any file in the old journal mode will do
		s.run(`(printf 'SQLite format 3\000\020\000\001\001'; head -c 8172 /dev/urandom) | sudo tee /var/lib/rancher/k3s/server/db/state.db >/dev/null || ` +
			`(sudo mkdir -p /var/lib/rancher/k3s/server/db && (printf 'SQLite format 3\000\020\000\001\001'; head -c 8172 /dev/urandom) | sudo tee /var/lib/rancher/k3s/server/db/state.db >/dev/null)`)
	}
	const k = "/var/lib/rancher/k3s/server/"
	identity := "hostname; cat /etc/machine-id; sudo cat /etc/rancher/node/password /etc/rancher/node/name /var/lib/rancher/k3os/ssh/ssh_host_ed25519_key.pub; " +
		"sudo sha256sum " + k + "token " + k + "tls/server-ca.crt " + k + "tls/server-ca.key " + k + "db/state.db | sort"
	before, hostKey := s.run(identity), s.HostKey.Marshal()
	sub(t, "backup", func(t *testing.T) {
		if err := d.Allow(s.run("sudo shelf backup key")); err != nil {
			t.Fatal(err)
		}
		s.until("sudo shelf backup now", "is at sftp://") // the node may be at it by itself
		if got := s.run("sudo shelf backup list"); !strings.HasPrefix(got, "shelf-backup-20") {
			t.Error(got)
		}
		if got := s.run("sudo shelf status -o json"); !strings.Contains(got, `"backup": "20`) {
			t.Errorf("status does not tell of the backup:\n%s", got)
		}
	}, g)
	s.off()

	archives, _ := filepath.Glob(filepath.Join(dir, "backups", "shelf-backup-*.tar.zst"))
	if len(archives) == 0 {
		t.Fatal("nothing arrived")
	}
	out := t.TempDir()
	text, err := exec.Command(program, "output=json", "out="+out, "board=qemu-arm64", "role=server", k3s(t, "arm64"), "pack=no", "restore="+archives[len(archives)-1]).Output()
	var restored image
	if err == nil {
		err = json.Unmarshal(text, &restored)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	g = boot(t, vm.Options{Image: restored.Image, Name: "restored", Size: 4 << 30, Memory: 2048})[0]
	g.up()
	s = g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	sub(t, "restored", func(t *testing.T) {
		if after := s.run(identity); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		if string(s.HostKey.Marshal()) != string(hostKey) {
			t.Error("the host key has changed")
		}
		s.until("sudo shelf backup now", "is at sftp://") // with the key and the known host that it had
	}, g)
	s.off()
}
