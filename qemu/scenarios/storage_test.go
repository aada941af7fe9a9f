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
		"    photos: {write: [ann], read: [bob], via: [nfs, smb, ftp], networks: [10.0.2.0/24, 10.99.0.0/24], snapshots: [24 hourly, 7 daily]}\n" +
		"    bobs: {write: [bob], via: [smb, ftp]}\n" +
		"time: {wait: 1s}\n"
}

// TestStorage boots a storage node with a blank disk, which it formats and serves by NFS, SMB and
// FTP. It was not seen to pass as a whole, and runs with IMGBUILD_FULL=1 alone until it was.
//
// The clients are the kernel's NFS and CIFS, smbclient, curl and lftp, in the same guest and
// through its address on the network.
func TestStorage(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	im := build(t, cloudConfig("shelf-nas", storageConfig()), "board=qemu-arm64", "role=storage", "packages=smbclient,curl,lftp")
	disk := filepath.Join(t.TempDir(), "data.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<30); err != nil {
		t.Fatal(err)
	}
	args := []string{"-blockdev", "driver=raw,node-name=data,file.driver=file,file.filename=" + disk, "-device", "virtio-blk-pci,drive=data,serial=SHELF1"}
	g := boot(t, vm.Options{Image: im.Image, Name: "nas", Size: 4 << 30, Memory: 1024, Args: args, Direct: true})[0]
	g.up()
	s := g.login()
	s.put(t, static(t, "arm64", "../fixtures/locker"), "/usr/local/bin/locker")
	const me, data = "10.0.2.15", "/srv/data/photos/"
	sub(t, "served", func(t *testing.T) {
		s.until("awk '$2 == \"/srv/data\" {print $1, $3}' /proc/mounts", "/dev/vdb btrfs")
		s.until("shelf services", "vsftpd")
		for _, name := range []string{"nfsdcld", "mountd", "nfsd", "smbd", "vsftpd"} {
			s.until("shelf services | grep '^"+name+" '", "ready")
		}
		// A server that is ready is asked as its clients would within half a minute.
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
		s.run("sudo cp /usr/bin/shelf /tmp/file && sudo chmod 644 /tmp/file")
	}, g)
	same := func(t *testing.T, a, b string) {
		t.Helper()
		if got := strings.Fields(s.run("sudo sha256sum " + a + " " + b)); len(got) != 4 || got[0] != got[2] {
			t.Errorf("%s and %s differ: %q", a, b, got)
		}
	}
	denied := func(t *testing.T, command, why string) {
		t.Helper()
		if out, err := s.try(command + " 2>&1"); err == nil || !strings.Contains(out+err.Error(), why) {
			t.Errorf("%s: got %q, %v, want %q", command, out, err, why)
		}
	}
	sub(t, "NFS", func(t *testing.T) {
		s.run("sudo mkdir -p /mnt/nfs && sudo mount -t nfs4 -o vers=4.2 " + me + ":/srv/data/photos /mnt/nfs")
		if got := s.run("awk '$2 == \"/mnt/nfs\" {print $4}' /proc/mounts"); !strings.Contains(got, "vers=4.2") {
			t.Errorf("mounted with %s", got)
		}
		s.run("sudo -u ann cp /tmp/file /mnt/nfs/by-nfs && sudo -u ann sync /mnt/nfs/by-nfs")
		same(t, "/tmp/file", data+"by-nfs")
		s.run("sudo -u bob cat /mnt/nfs/by-nfs >/dev/null")
		denied(t, "sudo -u bob touch /mnt/nfs/by-bob", "Permission denied")
		denied(t, "sudo touch /mnt/nfs/by-root", "Permission denied")
		denied(t, "sudo mount -t nfs4 -o vers=4.2 "+me+":/srv/data/bobs /mnt", "No such file or directory")
		// NFS 3, with its locks.
		s.run("sudo mkdir -p /mnt/nfs3 && sudo mount -t nfs -o vers=3,proto=tcp,mountproto=tcp " + me + ":/srv/data/photos /mnt/nfs3")
		if got := s.run("awk '$2 == \"/mnt/nfs3\" {print $4}' /proc/mounts"); !strings.Contains(got, "vers=3,") {
			t.Errorf("mounted with %s", got)
		}
		s.run("sudo -u ann cp /tmp/file /mnt/nfs3/by-nfs3 && sudo -u ann sync /mnt/nfs3/by-nfs3")
		same(t, "/tmp/file", data+"by-nfs3")
		denied(t, "sudo -u bob touch /mnt/nfs3/by-bob", "Permission denied")
		if got := s.run("sudo -u ann /usr/local/bin/locker fcntl /mnt/nfs3/by-nfs3 try"); got != "free" {
			t.Errorf("a lock by NFS 3: got %s, want free", got)
		}
		s.run("sudo umount /mnt/nfs3")
	}, g)
	sub(t, "SMB", func(t *testing.T) {
		smb := func(share, user, password, do string) string {
			return fmt.Sprintf("cd /tmp && smbclient //%s/%s -U %s%%%s -c '%s'", me, share, user, password, do)
		}
		s.run(smb("photos", "ann", "ann-password", "put file by-smb"))
		same(t, "/tmp/file", data+"by-smb")
		s.run(smb("photos", "bob", "bob-password", "get by-smb back"))
		same(t, "/tmp/file", "/tmp/back")
		denied(t, smb("photos", "ann", "wrong", "ls"), "NT_STATUS_LOGON_FAILURE")
		denied(t, smb("photos", "bob", "bob-password", "put file by-bob"), "NT_STATUS_ACCESS_DENIED")
		denied(t, smb("bobs", "ann", "ann-password", "ls"), "NT_STATUS_ACCESS_DENIED")
		s.run("sudo mkdir -p /mnt/cifs && sudo mount -t cifs -o username=ann,password=ann-password,vers=3.1.1,uid=1500 //" + me + "/photos /mnt/cifs")
		s.run("sudo -u ann cp /tmp/file /mnt/cifs/by-cifs && sudo umount /mnt/cifs")
		same(t, "/tmp/file", data+"by-cifs")
		denied(t, "sudo mount -t cifs -o username=ann,password=wrong //"+me+"/photos /mnt/cifs", "ermission denied")
	}, g)
	sub(t, "FTP", func(t *testing.T) {
		ftp := func(user, password, more string) string {
			return fmt.Sprintf("curl -sS -k --ssl-reqd -u %s:%s %s", user, password, more)
		}
		s.run(ftp("ann", "ann-password", "-T /tmp/file ftp://"+me+"/photos/by-ftp"))
		same(t, "/tmp/file", data+"by-ftp")
		s.run(ftp("bob", "bob-password", "-o /tmp/back2 ftp://"+me+"/photos/by-ftp"))
		same(t, "/tmp/file", "/tmp/back2")
		denied(t, ftp("ann", "wrong", "ftp://"+me+"/"), "67")
		denied(t, ftp("bob", "bob-password", "-T /tmp/file ftp://"+me+"/photos/by-bob"), "553")
		if got := s.run(ftp("ann", "ann-password", "--list-only ftp://"+me+"/")); got != "photos" {
			t.Errorf("ann sees %q, want photos alone", got)
		}
		denied(t, "curl -sS -u ann:ann-password ftp://"+me+"/photos/", "530")
		s.run("lftp -u ann,ann-password -e 'set ssl:verify-certificate no; set ftp:ssl-force yes; put /tmp/file -o photos/by-lftp; bye' " + me)
		same(t, "/tmp/file", data+"by-lftp")
		denied(t, "curl -sS -k --ssl-reqd -u rancher:x ftp://"+me+"/", "530")
	}, g)
	sub(t, "locks", func(t *testing.T) { storageLocks(t, s, g) }, g)
	if full {
		sub(t, "snapshots", func(t *testing.T) {
			s.run("sudo date -s @$(($(date +%s) + 3600)) && sudo shelf config reload")
			name := s.until("sudo sh -c 'cd "+data+".snapshots && for n in *; do [ ! -e $n/by-smb ] || echo $n; done'", "@GMT-")
			// Clients of NFS see it without a loop, and cannot write it.
			if got := s.run("sudo -u ann find /mnt/nfs -name by-nfs 2>&1"); !strings.Contains(got, "/mnt/nfs/.snapshots/"+name+"/by-nfs") || strings.Contains(got, "loop") {
				t.Errorf("find on a client: %s", got)
			}
			s.run("sudo -u ann du -s /mnt/nfs >/dev/null && sudo rm -rf /tmp/copied && sudo -u ann cp -a /mnt/nfs/.snapshots/" + name + " /tmp/copied")
			same(t, "/tmp/file", "/tmp/copied/by-nfs")
			denied(t, "sudo -u ann touch /mnt/nfs/.snapshots/"+name+"/more", "Read-only file system")
			// Those of SMB see previous versions.
			if got := s.run(fmt.Sprintf("smbclient //%s/photos -U bob%%bob-password -c 'allinfo by-smb'", me)); !strings.Contains(got, name) {
				t.Errorf("previous versions: %s", got)
			}
			s.run(fmt.Sprintf("cd /tmp && rm -f back3 && smbclient //%s/photos -U bob%%bob-password -c 'get %s\\by-smb back3'", me, name))
			same(t, "/tmp/file", "/tmp/back3")
			s.run("echo spoiled | sudo -u ann tee /mnt/nfs/by-nfs >/dev/null && sudo -u ann sync /mnt/nfs/by-nfs")
			if got := s.run("sudo shelf restore " + data + "by-nfs"); !strings.Contains(got, "what was there is now "+data+"by-nfs.before-") {
				t.Errorf("restore: %s", got)
			}
			same(t, "/tmp/file", data+"by-nfs")
			if got := s.run("sudo sh -c 'cat " + data + "by-nfs.before-*'"); got != "spoiled" {
				t.Errorf("what was there: got %q, want spoiled", got)
			}
		}, g)
		sub(t, "a change", func(t *testing.T) {
			pids := func() string {
				return s.run("shelf services -o json | tr -d '\\n' | sed 's/}/}\\n/g' | grep -E '\"(smbd|mountd|nfsdcld|nfsd)\"' | grep -oE '\"(name|pid)\": *[^,]*' | tr '\\n' ' '")
			}
			before := pids()
			// A copy by SMB and one by NFS run through the change.
			s.run("(cd /tmp && (i=0; while [ $i -lt 40 ]; do head -c 100000 file; sleep 0.2; i=$((i+1)); done) | sudo -u ann tee /mnt/nfs/slow >/dev/null; echo done >/tmp/slow.end) </dev/null >/dev/null 2>&1 &")
			more := "storage: {shares: {more: {write: [ann], via: [smb, nfs, ftp], networks: [10.0.2.0/24]}, broken: {path: ../etc, write: [bob], via: [smb]}}}\n"
			s.run("sudo mkdir -p /var/lib/rancher/k3os/config.d && echo '" + more + "' | sudo tee /var/lib/rancher/k3os/config.d/more.yaml >/dev/null && sudo shelf config reload")
			s.until("cd /tmp && smbclient //"+me+"/more -U ann%ann-password -c 'put file x' && echo put", "put")
			// The share that cannot be served is reported, and the others are served.
			s.until("sudo shelf report", "storage.shares.broken.path") // its lines are wrapped
			s.until("cat /tmp/slow.end", "done")
			s.run("(i=0; while [ $i -lt 40 ]; do head -c 100000 /tmp/file; i=$((i+1)); done) >/tmp/want; sudo -u ann sync /mnt/nfs/slow")
			same(t, "/tmp/want", data+"slow")
			s.run("rm /tmp/want")
			if after := pids(); after != before || !strings.Contains(before, "smbd") {
				t.Errorf("the servers were started again: before %s, after %s", before, after)
			}
		}, g)
		sub(t, "care", func(t *testing.T) {
			// Scrub writes its progress to memory, and reports what it found; free space by
			// btrfs' own count.
			s.run("sudo shelf storage scrub data")
			s.until("shelf storage", "scrubbed")
			if got := s.run("awk '$2 == \"/var/lib/btrfs\" {print $3}' /proc/mounts"); got != "tmpfs" {
				t.Errorf("the progress of scrub is on %q, want tmpfs", got)
			}
			if got := s.run("shelf storage"); !strings.Contains(got, "no errors") || !strings.Contains(got, "GB are free (") {
				t.Errorf("shelf storage: %s", got)
			}
		}, g)
		sub(t, "probe account", func(t *testing.T) {
			// Its password is in memory alone: another one is set, by which it is refused from
			// outside all the same.
			s.run("sudo pdbedit --configfile=/run/shelf/storage/smb.conf -u shelf-probe --set-nt-hash=" + config.NTHash("known") + " >/dev/null")
			s.run("sudo sed -i 's|^shelf-probe:[^:]*:|shelf-probe:" + config.HashPassword("known", []byte("0123456789abcdef")) + ":|' /etc/shadow")
			s.run("smbclient '//127.0.0.1/IPC$' -U shelf-probe%known -c exit")
			denied(t, "smbclient '//"+me+"/IPC$' -U shelf-probe%known -c exit", "NT_STATUS_")
			denied(t, "smbclient //127.0.0.1/photos -U shelf-probe%known -c ls", "NT_STATUS_ACCESS_DENIED")
			s.run("curl -sS -k --ssl-reqd -u shelf-probe:known ftp://127.0.0.1/")
			denied(t, "curl -sS -k --ssl-reqd -u shelf-probe:known ftp://"+me+"/", "530")
		}, g)
		sid := s.run("sudo net --configfile=/run/shelf/storage/smb.conf getlocalsid")
		sub(t, "after a reboot", func(t *testing.T) {
			s.run("sudo umount /mnt/nfs && sync")
			hash := s.run("sudo sha256sum " + data + "by-smb")
			s.try("sudo shelf reboot")
			g.see(`reboot now`)
			g.up()
			s = g.login()
			if got := s.run("sudo sha256sum " + data + "by-smb"); got != hash {
				t.Errorf("got %s, want %s", got, hash)
			}
			s.until("cd /tmp && smbclient //"+me+"/photos -U bob%bob-password -c 'get by-smb back' && echo got", "got")
			if got := s.run("sudo net --configfile=/run/shelf/storage/smb.conf getlocalsid"); got != sid {
				t.Errorf("the machine's SID: got %s, want %s", got, sid)
			}
			s.until("sudo mkdir -p /mnt/nfs && sudo mount -t nfs4 -o vers=4.2 "+me+":/srv/data/photos /mnt/nfs && echo mounted", "mounted")
			s.run("sudo umount /mnt/nfs")
		}, g)
	}
	s.off()
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

// storageLocks has two clients of NFS, the node itself and a network namespace, lock files against
// each other. Locks are kept when the server is started again, also when one of the clients is
// gone, for whom the server then waits.
func storageLocks(t *testing.T, s *shell, g *guest) {
	for _, c := range []string{
		"ip netns add c2", "ip link add v0 type veth peer name v1 netns c2", "ip addr add 10.99.0.1/24 dev v0", "ip link set v0 up",
		"ip -n c2 addr add 10.99.0.2/24 dev v1", "ip -n c2 link set v1 up", "ip -n c2 link set lo up",
		"ip netns exec c2 sh -c 'echo c2 >/sys/fs/nfs/net/nfs_client/identifier'", // else both would be one client
		"mkdir -p /mnt/c2", "nsenter --net=/run/netns/c2 mount -t nfs4 -o vers=4.2 10.99.0.1:/srv/data/photos /mnt/c2",
	} {
		s.run("sudo " + c)
	}
	try := func(kind, file, want string) {
		t.Helper()
		if got := s.run("sudo -u ann /usr/local/bin/locker " + kind + " " + file + " try"); got != want {
			t.Errorf("%s of %s: got %s, want %s", kind, file, got, want)
		}
	}
	s.run("mkdir -p /tmp/held && chmod 777 /tmp/held")
	for kind, dir := range map[string]string{"fcntl": "/mnt/nfs/", "flock": "/mnt/c2/"} { // one lock for each client
		s.run("(sudo -u ann /usr/local/bin/locker " + kind + " " + dir + kind + " hold /tmp/held/" + kind + ") </dev/null >/dev/null 2>&1 &")
		s.until("ls /tmp/held", kind)
	}
	both := func() {
		t.Helper()
		try("fcntl", "/mnt/c2/fcntl", "busy")
		try("flock", "/mnt/nfs/flock", "busy")
	}
	both()
	s.until("sudo cat /srv/data/.shelfos/nfs-clients.json", "c2/")
	restart := func() time.Duration {
		t.Helper()
		s.run("sudo shelf restart nfsd")
		began := time.Now()
		s.until("shelf services | grep '^nfsd '", "ready")
		s.run("echo more | sudo -u ann tee /mnt/nfs/after >/dev/null")
		return time.Since(began)
	}
	t.Logf("with both clients the first write came after %v", restart())
	both()
	if got := storageChecks(s)["nfs-locks"]; got != "good" {
		t.Errorf("nfs-locks: got %s, want good", got)
	}
	// One of the clients is gone: the other one waits for the time of grace, and for whom is
	// reported.
	s.run("sudo ip -n c2 link set v1 down")
	waits := s.run("sudo shelf restart nfsd >/dev/null; i=0; while [ $i -lt 40 ]; do shelf storage | grep 'NFS waits' && break; i=$((i+1)); done")
	if !strings.Contains(waits, "c2/") {
		t.Errorf("the server waits for %q, want c2", waits)
	}
	s.run("echo more | sudo -u ann tee /mnt/nfs/after >/dev/null")
	if got := s.run("shelf storage"); strings.Contains(got, "NFS waits") {
		t.Errorf("after the time of grace: %s", got)
	}
	try("fcntl", "/mnt/nfs/fcntl", "busy")
	try("flock", "/mnt/nfs/flock", "free") // its holder did not come back
	s.run("sudo kill $(cat /tmp/held/*); sudo ip -n c2 link set v1 up; sudo umount -f -l /mnt/c2; sudo ip netns del c2")
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
