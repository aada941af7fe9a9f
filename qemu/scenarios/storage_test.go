package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/qemu/vm"
)

// storageConfig is a node with one blank disk, two users and two shares.
func storageConfig() string {
	user := func(name string, uid int) string {
		return fmt.Sprintf("    %s: {uid: %d, password_hash: '%s', smb_nt_hash: %s}\n", name, uid,
			config.HashPassword(name+"-password", []byte("0123456789abcdef")), config.NTHash(name+"-password"))
	}
	return "storage:\n  disks: [{device: SERIAL=SHELF1, format: yes}]\n  nfs: {grace: 10s, v3: true}\n  users:\n" + user("ann", 1500) + user("bob", 1501) +
		"  shares:\n" +
		"    photos: {write: [ann], read: [bob], via: [nfs, smb, ftp], networks: [10.9.0.0/24, 10.99.0.0/24], snapshots: [24 hourly, 7 daily]}\n" +
		"    bobs: {write: [bob], via: [smb, ftp]}\n" +
		"time: {wait: 1s}\n"
}

// The addresses of the node and of its client in TestStorage, and where a share is on the node.
const (
	nasAddress    = "10.9.0.1"
	clientAddress = "10.9.0.2"
	photos        = "/srv/data/photos/"
)

// storageRig is a storage node and its client, two guests with a cable between them.
type storageRig struct {
	node, client *guest
	at, from     *shell // on the node, on the client
}

// TestStorage boots a storage node with a blank disk, which it formats and serves by NFS, SMB and
// FTP, and a second guest with the clients: the kernel's NFS and CIFS, smbclient, curl and lftp.
// It is the image of the node without anything to serve.
func TestStorage(t *testing.T) {
	t.Parallel()
	const nasMAC, clientMAC = "52:54:00:00:01:01", "52:54:00:00:01:02"
	card := func(mac, address string) string {
		return "network:\n  interfaces:\n  - {mac: '" + mac + "', addresses: [" + address + "/24]}\n"
	}
	words := []string{"board=qemu-arm64", "role=storage", "packages=smbclient,curl,lftp"}
	nas := build(t, cloudConfig("shelf-nas", storageConfig()+card(nasMAC, nasAddress)), words...)
	clients := build(t, cloudConfig("shelf-client", "time: {wait: 1s}\n"+card(clientMAC, clientAddress)), words...)
	disk := filepath.Join(t.TempDir(), "data.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<30); err != nil {
		t.Fatal(err)
	}
	a, b, err := vm.NewLink(nasMAC, clientMAC)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-blockdev", "driver=raw,node-name=data,file.driver=file,file.filename=" + disk, "-device", "virtio-blk-pci,drive=data,serial=SHELF1"}
	both := boot(t, vm.Options{Image: nas.Image, Name: "nas", Size: 4 << 30, Memory: 512, Args: args, Direct: true, Links: []*vm.Link{a}},
		vm.Options{Image: clients.Image, Name: "client", Size: 4 << 30, Memory: 768, Direct: true, Links: []*vm.Link{b}})
	r := &storageRig{node: both[0], client: both[1]}
	r.node.up()
	r.at, r.from = r.node.login(), r.client.login()
	part := func(name string, do func(t *testing.T)) { sub(t, name, do, both...) }
	part("served", r.served)
	part("NFS", r.nfs)
	part("SMB", r.smb)
	part("FTP", r.ftp)
	part("locks", r.locks)
	if !full {
		off(r.at, r.from)
		return
	}
	part("snapshots", r.snapshots)
	part("a change", r.change)
	part("care", r.care)
	part("probe account", r.probe)
	r.rebooted(t)
	part("the node is away", r.away)
	r.client.Stop()
	off(r.at)
}

// again waits for the node after a reboot or a power cut, and logs in for the rest of the test t.
func (r *storageRig) again(t *testing.T) {
	t.Helper()
	r.node.up()
	part := r.node.t
	r.node.t = t
	r.at = r.node.login()
	r.node.t = part
}

// served waits until every server is ready and was asked as its clients would, and makes the
// client: its users, and a file.
func (r *storageRig) served(t *testing.T) {
	s := r.at
	s.until("awk '$2 == \"/srv/data\" {print $1, $3}' /proc/mounts", "/dev/vdb btrfs")
	for _, name := range []string{"nfsdcld", "mountd", "nfsd", "smbd", "vsftpd"} {
		s.until("shelf services | grep '^"+name+" '", "ready")
	}
	// Within half a minute.
	healthy := func(st map[string]string) bool {
		for _, check := range []string{"storage-disks", "nfs", "smbd", "smb", "ftp"} {
			if st[check] != "good" {
				return false
			}
		}
		return true
	}
	st, end := storageChecks(s), time.Now().Add(patience)
	for ; !healthy(st) && time.Now().Before(end); st = storageChecks(s) {
		time.Sleep(time.Second)
	}
	if !healthy(st) {
		t.Errorf("checks: got %v, want all good", st)
	}
	c := r.from
	c.put(t, static(t, "arm64", "../fixtures/locker"), "/usr/local/bin/locker")
	c.run("for u in ann:1500 bob:1501; do n=${u%:*}; i=${u#*:}; echo $n:x:$i:$i::/tmp:/usr/sbin/nologin | sudo tee -a /etc/passwd; " +
		"echo $n:x:$i: | sudo tee -a /etc/group; echo \"$n:!:::::::\" | sudo tee -a /etc/shadow; done >/dev/null")
	c.run("head -c 3000000 /usr/bin/shelf >/tmp/file")
}

// hash is the SHA-256 of a file on a guest.
func (s *shell) hash(file string) string {
	s.g.t.Helper()
	sum, _, _ := strings.Cut(s.run("sudo sha256sum "+file), " ")
	return sum
}

// same compares a file of the client with one of the node's photos.
func (r *storageRig) same(t *testing.T, mine, name string) {
	t.Helper()
	if a, b := r.from.hash(mine), r.at.hash(photos+name); a != b {
		t.Errorf("%s of the client is %s, %s of the node is %s", mine, a, photos+name, b)
	}
}

// alike compares two files of the client.
func (r *storageRig) alike(t *testing.T, a, b string) {
	t.Helper()
	if x, y := r.from.hash(a), r.from.hash(b); x != y {
		t.Errorf("%s is %s, %s is %s", a, x, b, y)
	}
}

// denied runs a command of the client that must fail, for a reason.
func (s *shell) denied(t *testing.T, command, why string) {
	t.Helper()
	if out, err := s.try(command + " 2>&1"); err == nil || !strings.Contains(out+err.Error(), why) {
		t.Errorf("%s: got %q, %v, want %q", command, out, err, why)
	}
}

// put copies a program to the guest; /tmp takes none.
func (s *shell) put(t *testing.T, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RunInput(t.Context(), "sudo mkdir -p "+filepath.Dir(to)+" && sudo tee "+to+" >/dev/null && sudo chmod 755 "+to, program); err != nil {
		t.Fatal(err)
	}
}

// storageChecks returns the results of the checks by name; none while init is too busy to answer.
func storageChecks(s *shell) map[string]string {
	var st struct {
		Checks []struct{ Check, State string }
	}
	all := map[string]string{}
	if json.Unmarshal([]byte(s.run("shelf status -o json || true")), &st) != nil {
		return all
	}
	for _, c := range st.Checks {
		all[c.Check] = c.State
	}
	return all
}
