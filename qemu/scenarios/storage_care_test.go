package scenarios

import (
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// snapshots has a clock that is set make one, which clients of NFS and SMB read, and restores a
// file from it.
func (r *storageRig) snapshots(t *testing.T) {
	s, c := r.at, r.from
	s.run("sudo date -s @$(($(date +%s) + 3600)) && sudo shelf config reload")
	name := s.until("sudo sh -c 'cd "+photos+".snapshots && for n in *; do [ ! -e $n/by-smb ] || echo $n; done'", "@GMT-")
	// Clients of NFS see it without a loop, and cannot write it.
	if got := c.run("sudo -u ann find /mnt/nfs -name by-nfs 2>&1"); !strings.Contains(got, "/mnt/nfs/.snapshots/"+name+"/by-nfs") || strings.Contains(got, "loop") {
		t.Errorf("find on a client: %s", got)
	}
	c.run("sudo -u ann du -s /mnt/nfs >/dev/null && sudo rm -rf /tmp/copied && sudo -u ann cp -a /mnt/nfs/.snapshots/" + name + " /tmp/copied")
	r.alike(t, "/tmp/file", "/tmp/copied/by-nfs")
	c.denied(t, "sudo -u ann touch /mnt/nfs/.snapshots/"+name+"/more", "Read-only file system")
	// Those of SMB see previous versions.
	if got := c.run(smbclient("photos", "bob", "bob-password", "allinfo by-smb")); !strings.Contains(got, name) {
		t.Errorf("previous versions: %s", got)
	}
	c.run("rm -f /tmp/back; " + smbclient("photos", "bob", "bob-password", "get "+name+`\by-smb back`))
	r.alike(t, "/tmp/file", "/tmp/back")
	c.run("echo spoiled | sudo -u ann tee /mnt/nfs/by-nfs >/dev/null && sudo -u ann sync /mnt/nfs/by-nfs")
	if got := s.run("sudo shelf restore " + photos + "by-nfs"); !strings.Contains(got, "what was there is now "+photos+"by-nfs.before-") {
		t.Errorf("restore: %s", got)
	}
	r.same(t, "/tmp/file", "by-nfs")
	if got := s.run("sudo sh -c 'cat " + photos + "by-nfs.before-*'"); got != "spoiled" {
		t.Errorf("what was there: got %q, want spoiled", got)
	}
}

// slowly has the client write a file by NFS for a while, and done waits for its end and looks
// whether the node has all of it.
func (r *storageRig) slowly(name string) (done func(t *testing.T)) {
	const pieces = "i=0; while [ $i -lt 40 ]; do head -c 100000 /tmp/file; "
	r.from.run("rm -f /tmp/slow.end; ((" + pieces + "sleep 0.2; i=$((i+1)); done) | sudo -u ann tee /mnt/nfs/" + name + " >/dev/null; echo done >/tmp/slow.end) </dev/null >/dev/null 2>&1 &")
	return func(t *testing.T) {
		t.Helper()
		r.from.until("cat /tmp/slow.end", "done")
		r.from.run("(" + pieces + "i=$((i+1)); done) >/tmp/want; sudo -u ann sync /mnt/nfs/" + name)
		r.same(t, "/tmp/want", name)
		r.from.run("rm /tmp/want")
	}
}

// change adds a share, and one that cannot be served, while a client copies.
func (r *storageRig) change(t *testing.T) {
	s := r.at
	pids := func() string {
		return s.run("shelf services -o json | tr -d '\\n' | sed 's/}/}\\n/g' | grep -E '\"(smbd|mountd|nfsdcld|nfsd)\"' | grep -oE '\"(name|pid)\": *[^,]*' | tr '\\n' ' '")
	}
	before := pids()
	done := r.slowly("slow")
	more := "storage: {shares: {more: {write: [ann], via: [smb, nfs, ftp], networks: [10.9.0.0/24]}, broken: {path: ../etc, write: [bob], via: [smb]}}}\n"
	s.run("sudo mkdir -p /var/lib/rancher/k3os/config.d && echo '" + more + "' | sudo tee /var/lib/rancher/k3os/config.d/more.yaml >/dev/null && sudo shelf config reload")
	r.from.until(smbclient("more", "ann", "ann-password", "put file x")+" && echo put", "put")
	// The share that cannot be served is reported, and the others are served.
	s.until("sudo shelf report", "storage.shares.broken.path") // its lines are wrapped
	done(t)
	if after := pids(); after != before || !strings.Contains(before, "smbd") {
		t.Errorf("the servers were started again: before %s, after %s", before, after)
	}
}

// care scrubs the disk: its progress is written to memory, and what it found is reported, with free
// space by btrfs' own count.
func (r *storageRig) care(t *testing.T) {
	s := r.at
	s.run("sudo shelf storage scrub data")
	got := s.until("shelf storage", "it was scrubbed")
	if !strings.Contains(got, ": no errors") || !strings.Contains(got, "GB are free (") {
		t.Errorf("shelf storage: %s", got)
	}
	if got := s.run("awk '$2 == \"/var/lib/btrfs\" {print $3}' /proc/mounts"); got != "tmpfs" {
		t.Errorf("the progress of scrub is on %q, want tmpfs", got)
	}
}

// probe: the account by which the node asks its own servers is refused from outside. Its password
// is in memory alone, so another one is set.
func (r *storageRig) probe(t *testing.T) {
	s, c := r.at, r.from
	s.run("sudo pdbedit --configfile=/run/shelf/storage/smb.conf -u shelf-probe --set-nt-hash=" + config.NTHash("known") + " >/dev/null")
	s.run("sudo sed -i 's|^shelf-probe:[^:]*:|shelf-probe:" + config.HashPassword("known", []byte("0123456789abcdef")) + ":|' /etc/shadow")
	s.run("smbclient '//127.0.0.1/IPC$' -U shelf-probe%known -c exit")
	s.denied(t, "smbclient //127.0.0.1/photos -U shelf-probe%known -c ls", "NT_STATUS_ACCESS_DENIED")
	s.run("curl -sS -k --ssl-reqd -u shelf-probe:known ftp://127.0.0.1/")
	c.denied(t, "smbclient '//"+nasAddress+"/IPC$' -U shelf-probe%known -c exit", "NT_STATUS_")
	c.denied(t, "curl -sS -k --ssl-reqd -u shelf-probe:known ftp://"+nasAddress+"/", "530")
}

// rebooted reboots the node while a client copies and another program holds a lock, and then cuts
// its power: the mount of the client, its copy, its lock and Samba's identity stay what they were,
// and what was written for good is there.
func (r *storageRig) rebooted(t *testing.T) {
	both := []*guest{r.node, r.client}
	sid := func() string { return r.at.run("sudo net --configfile=/run/shelf/storage/smb.conf getlocalsid") }
	before := sid()
	hash := r.at.hash(photos + "by-smb")
	back := func(t *testing.T) {
		t.Helper()
		r.from.until(smbclient("photos", "bob", "bob-password", "get by-smb back")+" && echo got", "got")
		if got := r.from.hash("/tmp/back"); got != hash {
			t.Errorf("by SMB: got %s, want %s", got, hash)
		}
		if got := r.from.run("sudo -u ann sha256sum /mnt/nfs/by-smb"); !strings.HasPrefix(got, hash) { // root is nobody there
			t.Errorf("by the mount from before: got %s, want %s", got, hash)
		}
		if got := sid(); got != before {
			t.Errorf("the machine's SID: got %s, want %s", got, before)
		}
		r.kept(t)
	}
	sub(t, "a reboot", func(part *testing.T) {
		r.hold("fcntl", "/mnt/nfs/fcntl")
		done := r.slowly("through")
		r.at.try("sudo shelf reboot")
		r.node.see(`reboot now`)
		r.again(t)
		done(part)
		back(part)
	}, both...)
	sub(t, "a power cut", func(part *testing.T) {
		r.from.run("sudo -u ann dd if=/tmp/file of=/mnt/nfs/cut bs=1M conv=fsync 2>/dev/null")
		if err := r.node.Reset(); err != nil {
			part.Fatal(err)
		}
		r.again(t)
		r.same(part, "/tmp/file", "cut")
		back(part)
		r.from.run("sudo kill $(cat /tmp/held/*)")
	}, both...)
}
