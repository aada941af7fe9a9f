package scenarios

import (
	"fmt"
	"strings"
	"testing"
)

// nfs writes and reads by NFS 4.2, which stays mounted, and by NFS 3.
func (r *storageRig) nfs(t *testing.T) {
	c := r.from
	c.run("sudo mkdir -p /mnt/nfs && sudo mount -t nfs4 -o vers=4.2 " + nasAddress + ":/srv/data/photos /mnt/nfs")
	if got := c.run("awk '$2 == \"/mnt/nfs\" {print $4}' /proc/mounts"); !strings.Contains(got, "vers=4.2") {
		t.Errorf("mounted with %s", got)
	}
	c.run("sudo -u ann cp /tmp/file /mnt/nfs/by-nfs && sudo -u ann sync /mnt/nfs/by-nfs")
	r.same(t, "/tmp/file", "by-nfs")
	c.run("sudo -u bob cat /mnt/nfs/by-nfs >/dev/null")
	c.denied(t, "sudo -u bob touch /mnt/nfs/by-bob", "Permission denied")
	c.denied(t, "sudo touch /mnt/nfs/by-root", "Permission denied")
	c.denied(t, "sudo mount -t nfs4 -o vers=4.2 "+nasAddress+":/srv/data/bobs /mnt", "No such file or directory")
	// NFS 3, with its locks, for which a client has a statd of its own.
	c.run("sudo sh -c 'mkdir -p /run/rpcbind && chown _rpc /run/rpcbind && rpcbind && rpc.statd --no-notify' </dev/null >/dev/null 2>&1")
	c.run("sudo mkdir -p /mnt/nfs3 && sudo mount -t nfs -o vers=3,proto=tcp,mountproto=tcp " + nasAddress + ":/srv/data/photos /mnt/nfs3")
	if got := c.run("awk '$2 == \"/mnt/nfs3\" {print $4}' /proc/mounts"); !strings.Contains(got, "vers=3,") {
		t.Errorf("mounted with %s", got)
	}
	c.run("sudo -u ann cp /tmp/file /mnt/nfs3/by-nfs3 && sudo -u ann sync /mnt/nfs3/by-nfs3")
	r.same(t, "/tmp/file", "by-nfs3")
	c.denied(t, "sudo -u bob touch /mnt/nfs3/by-bob", "Permission denied")
	if got := c.run("sudo -u ann /usr/local/bin/locker fcntl /mnt/nfs3/by-nfs3 try"); got != "free" {
		t.Errorf("a lock by NFS 3: got %s, want free", got)
	}
	c.run("sudo umount /mnt/nfs3")
}

// smbclient is a command line of smbclient on the client.
func smbclient(share, user, password, do string) string {
	return fmt.Sprintf("cd /tmp && smbclient //%s/%s -U %s%%%s -c '%s'", nasAddress, share, user, password, do)
}

// smb writes and reads with smbclient and the kernel's client, as users who may and who may not.
func (r *storageRig) smb(t *testing.T) {
	c := r.from
	c.run(smbclient("photos", "ann", "ann-password", "put file by-smb"))
	r.same(t, "/tmp/file", "by-smb")
	c.run(smbclient("photos", "bob", "bob-password", "get by-smb back"))
	r.alike(t, "/tmp/file", "/tmp/back")
	c.denied(t, smbclient("photos", "ann", "wrong", "ls"), "NT_STATUS_LOGON_FAILURE")
	c.denied(t, smbclient("photos", "bob", "bob-password", "put file by-bob"), "NT_STATUS_ACCESS_DENIED")
	c.denied(t, smbclient("bobs", "ann", "ann-password", "ls"), "NT_STATUS_ACCESS_DENIED")
	c.run("sudo mkdir -p /mnt/cifs && sudo mount -t cifs -o username=ann,password=ann-password,vers=3.1.1,uid=1500 //" + nasAddress + "/photos /mnt/cifs")
	c.run("sudo -u ann cp /tmp/file /mnt/cifs/by-cifs && sudo umount /mnt/cifs")
	r.same(t, "/tmp/file", "by-cifs")
	c.denied(t, "sudo mount -t cifs -o username=ann,password=wrong //"+nasAddress+"/photos /mnt/cifs", "ermission denied")
}

// ftp writes and reads over TLS with curl and lftp; without TLS, and as a user of the system,
// nobody logs in.
func (r *storageRig) ftp(t *testing.T) {
	c := r.from
	ftp := func(user, password, more string) string {
		return fmt.Sprintf("curl -sS -k --ssl-reqd -u %s:%s %s", user, password, more)
	}
	const there = "ftp://" + nasAddress + "/"
	c.run(ftp("ann", "ann-password", "-T /tmp/file "+there+"photos/by-ftp"))
	r.same(t, "/tmp/file", "by-ftp")
	c.run(ftp("bob", "bob-password", "-o /tmp/back "+there+"photos/by-ftp"))
	r.alike(t, "/tmp/file", "/tmp/back")
	c.denied(t, ftp("ann", "wrong", there), "67")
	c.denied(t, ftp("bob", "bob-password", "-T /tmp/file "+there+"photos/by-bob"), "553")
	if got := c.run(ftp("ann", "ann-password", "--list-only "+there)); got != "photos" {
		t.Errorf("ann sees %q, want photos alone", got)
	}
	c.denied(t, "curl -sS -u ann:ann-password "+there+"photos/", "530")
	c.run("lftp -u ann,ann-password -e 'set ssl:verify-certificate no; set ftp:ssl-force yes; put /tmp/file -o photos/by-lftp; bye' " + nasAddress)
	r.same(t, "/tmp/file", "by-lftp")
	c.denied(t, "curl -sS -k --ssl-reqd -u rancher:x "+there, "530")
}
