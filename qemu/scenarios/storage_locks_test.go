package scenarios

import (
	"strings"
	"testing"
	"time"
)

// hold has a program on the client take a lock and keep it; its process number is in /tmp/held.
func (r *storageRig) hold(kind, file string) {
	r.from.g.t.Helper()
	r.from.run("mkdir -p /tmp/held && chmod 777 /tmp/held")
	r.from.run("(sudo -u ann /usr/local/bin/locker " + kind + " " + file + " hold /tmp/held/" + kind + ") </dev/null >/dev/null 2>&1 &")
	r.from.until("ls /tmp/held", kind)
}

// kept looks whether the client lost a lock. A program on the client cannot see that another one of
// it did; the client's kernel reports it.
func (r *storageRig) kept(t *testing.T) {
	t.Helper()
	if got := r.from.run("sudo dmesg | grep -E 'NFS: .*lost [0-9]+ lock' || true"); got != "" {
		t.Errorf("the client reports\n%s\nthe node:\n%s", got, r.at.run("sudo sh -c 'cat /proc/fs/nfsd/clients/*/info'; sudo dmesg | grep -i nfsd; sudo shelf logs nfsdcld; sudo shelf logs nfsd"))
	}
}

// locks has two clients of NFS, the client and a network namespace of it, lock files against each
// other. Locks are kept when the server is started again, also when one of the clients is gone, for
// which the server then waits.
func (r *storageRig) locks(t *testing.T) {
	c := r.from
	r.at.run("sudo ip route add 10.99.0.0/24 via " + clientAddress)
	for _, command := range []string{
		"ip netns add c2", "ip link add v0 type veth peer name v1 netns c2", "ip addr add 10.99.0.1/24 dev v0", "ip link set v0 up",
		"ip -n c2 addr add 10.99.0.2/24 dev v1", "ip -n c2 link set v1 up", "ip -n c2 link set lo up", "ip -n c2 route add default via 10.99.0.1",
		"sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'",
		"ip netns exec c2 sh -c 'echo c2 >/sys/fs/nfs/net/nfs_client/identifier'", // else both would be one client
		"mkdir -p /mnt/c2", "nsenter --net=/run/netns/c2 mount -t nfs4 -o vers=4.2 " + nasAddress + ":/srv/data/photos /mnt/c2",
	} {
		c.run("sudo " + command)
	}
	try := func(kind, file, want string) {
		t.Helper()
		if got := c.run("sudo -u ann /usr/local/bin/locker " + kind + " " + file + " try"); got != want {
			t.Errorf("%s of %s: got %s, want %s", kind, file, got, want)
		}
	}
	r.hold("fcntl", "/mnt/nfs/fcntl")
	r.hold("flock", "/mnt/c2/flock")
	both := func() {
		t.Helper()
		try("fcntl", "/mnt/c2/fcntl", "busy")
		try("flock", "/mnt/nfs/flock", "busy")
		r.kept(t)
	}
	both()
	r.at.until("sudo cat /srv/data/.shelfos/nfs-clients.json", "c2/")
	began := time.Now()
	r.at.run("sudo shelf restart nfsd")
	r.at.until("shelf services | grep '^nfsd '", "ready")
	ready := time.Since(began)
	c.run("echo more | sudo -u ann tee /mnt/nfs/after >/dev/null")
	t.Logf("with both clients the server was ready after %v, and a file was written after %v", ready, time.Since(began))
	both()
	if got := storageChecks(r.at)["nfs-locks"]; got != "good" {
		t.Errorf("nfs-locks: got %s, want good", got)
	}
	// One of the clients is gone: the other one waits for the time of grace, and for whom is
	// reported.
	c.run("sudo ip -n c2 link set v1 down")
	waits := r.at.run("sudo shelf restart nfsd >/dev/null; i=0; while [ $i -lt 40 ]; do shelf storage | grep 'NFS waits' && break; i=$((i+1)); done")
	if !strings.Contains(waits, "c2/") {
		t.Errorf("the server waits for %q, want c2", waits)
	}
	c.run("echo more | sudo -u ann tee /mnt/nfs/after >/dev/null")
	if got := r.at.run("shelf storage"); strings.Contains(got, "NFS waits") {
		t.Errorf("after the time of grace: %s", got)
	}
	r.kept(t)
	try("flock", "/mnt/nfs/flock", "free") // its holder did not come back
	c.run("sudo kill $(cat /tmp/held/*); rm /tmp/held/*; sudo ip -n c2 link set v1 up; sudo umount -f -l /mnt/c2; sudo ip netns del c2")
}
