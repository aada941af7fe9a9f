package scenarios

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

//go:embed testdata/mounts.txt
var expectedMounts string

// TestWorker takes the image for the Pi 4 as it is flashed and boots it on another machine, QEMU's
// virt, through U-Boot: a larger card, no server to join, twice. The test compares what it keeps
// and what it forgets.
func TestWorker(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	const disk = 6 << 30
	clock, card := testLAN(t)
	g := boot(t, vm.Options{Image: im.Image, Name: "worker", Machine: "virt", Size: disk, Links: []*vm.Link{card}})[0]
	g.see(`U-Boot 20\d\d`)
	g.see(`shelf: booting slot a`)
	g.up()
	s := g.login()

	sub(t, "growth", func(t *testing.T) {
		p4, _ := strconv.ParseInt(s.run("cat /sys/class/block/vda4/size"), 10, 64)
		if want := int64(disk - 1520<<20); p4*512 < want-8<<20 || p4*512 > want {
			t.Errorf("the data partition has %d bytes, %d is what the card has left", p4*512, want)
		}
		kib, _ := strconv.ParseInt(s.run("df -k / | awk 'NR == 2 {print $2}'"), 10, 64)
		if kib<<10 < p4*512*9/10 {
			t.Errorf("the file system has %d KiB of %d", kib, p4/2)
		}
	}, g)
	sub(t, "mounts", func(t *testing.T) { compareMounts(t, s.run("cat /proc/self/mountinfo")) }, g)
	sub(t, "usr", func(t *testing.T) {
		for _, command := range []string{"sudo touch /usr/x", "sudo mkdir /usr/lib/x", "sudo rm /usr/bin/bash", "sudo mount -o remount,rw /usr && sudo touch /usr/x"} {
			if out, err := s.try(command); err == nil {
				t.Errorf("%s works: %s", command, out)
			}
		}
	}, g)
	sub(t, "login", func(t *testing.T) {
		if got := s.run("id -un; id -u; sudo id -u"); got != "rancher\n1000\n0" {
			t.Errorf("who: %q", got)
		}
		for name, config := range map[string]*ssh.ClientConfig{
			"root":     {User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}},
			"password": {User: "rancher", Auth: []ssh.AuthMethod{ssh.Password("rancher")}},
		} {
			config.HostKeyCallback = ssh.InsecureIgnoreHostKey()
			if c, err := ssh.Dial("tcp", g.Forward[22], config); err == nil {
				c.Close()
				t.Errorf("%s may log in", name)
			}
		}
	}, g)
	sub(t, "hardening", func(t *testing.T) {
		s.until("shelf services | grep node-exporter", "ready")
		hardened(t, s, false, "canary-")
	}, g)
	sub(t, "clock", func(t *testing.T) {
		// The machine's own clock began in 1970; only our time server gives this.
		s.until(fmt.Sprintf("test $(date +%%s) -gt %d && echo set", clock.Now().Add(-time.Hour).Unix()), "set")
	}, g)
	sub(t, "what is missing", func(t *testing.T) {
		if !strings.Contains(g.Output(), "PROBLEM what went wrong") || !strings.Contains(g.Output(), "server_url") {
			t.Error("the console does not show that server_url is missing")
		}
		if got := s.run("sudo cat /boot/report.txt"); !strings.Contains(got, "server_url") {
			t.Errorf("report.txt does not show that server_url is missing:\n%.2000s", strings.TrimSpace(got))
		}
		if s.k3sPID() != 0 {
			t.Error("k3s runs without a server to join")
		}
	}, g)
	identity := "cat /etc/machine-id; hostname; sudo cat /var/lib/rancher/k3os/ssh/ssh_host_ed25519_key.pub"
	before, hostKey := s.run(identity), s.HostKey.Marshal()
	s.run("sudo touch /etc/forget-me && touch /home/rancher/keep-me && echo x | sudo tee /usr/local/keep-me /opt/keep-me /var/keep-me")
	s.try("sudo shelf reboot")

	g.see(`U-Boot 20\d\d`)
	record := g.see(`shelf: record 0x\w+: seq (\d+), active a, trial , left (\d)`)
	g.up()
	s = g.login()
	sub(t, "identity", func(t *testing.T) {
		if after := s.run(identity); after != before {
			t.Errorf("before the reboot:\n%s\nafter:\n%s", before, after)
		}
		if !bytes.Equal(hostKey, s.HostKey.Marshal()) {
			t.Error("the host key has changed")
		}
		if strings.Contains(before, "localhost") || !strings.Contains(before, "shelf-worker") {
			t.Errorf("the name is not the configured one:\n%s", before)
		}
	}, g)
	sub(t, "kept and forgotten", func(t *testing.T) {
		s.run("cat /home/rancher/keep-me /usr/local/keep-me /opt/keep-me /var/keep-me")
		if _, err := s.try("ls /etc/forget-me"); err == nil {
			t.Error("/etc keeps what was written to it")
		}
	}, g)
	sub(t, "record", func(t *testing.T) {
		// U-Boot counts every boot; the node gives the attempts back while it is well.
		if record[2] != "3" {
			t.Errorf("at the second boot %s attempts were left, want %q", record[2], "3")
		}
	}, g)
	// The init hangs for good: the kernel's freezer holds its whole group. Nothing else can help
	// the node then.
	s.run("sudo sh -c 'echo 1 >/sys/fs/cgroup/init/cgroup.freeze'")
	g.see(`U-Boot 20\d\d`)
	g.see(`shelf: record 0x\w+: seq \d+, active a, trial , left 3`)
	g.up()
	s = g.login()
	sub(t, "watchdog", func(t *testing.T) {
		if got := s.run("sudo cat /boot/report.txt"); !strings.Contains(strings.Join(strings.Fields(got), " "), "the watchdog reset the board") {
			t.Errorf("report.txt does not show how the last boot ended:\n%.2000s", got)
		}
		if after := s.run(identity); after != before {
			t.Errorf("after the reset the node is another one:\n%s", after)
		}
	}, g)
	s.off()
	sub(t, "after power off", func(t *testing.T) {
		ref(t, "e2fsck", "-fn", dataFS(g.Disk))
		if h := ref(t, "tune2fs", "-l", dataFS(g.Disk)); strings.Contains(h, "needs_recovery") {
			t.Error("the data partition was not unmounted")
		}
		if r := records(t, g.Disk); r.Left != bootstate.MaxLeft || r.A != bootstate.Good {
			t.Errorf("the boot record is %+v, want Left %v and A %v", r, bootstate.MaxLeft, bootstate.Good)
		}
	}, g)
}

// compareMounts holds the node's mounts against testdata/mounts.txt, line by line, in the order in
// which they were made.
func compareMounts(t *testing.T, mountinfo string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		propagation := "private"
		if slices.ContainsFunc(l[6:], func(s string) bool { return strings.HasPrefix(s, "shared:") }) {
			propagation = "shared"
		}
		var super []string
		for _, o := range strings.Split(r[2], ",") {
			if k, _, _ := strings.Cut(o, "="); !slices.Contains([]string{"size", "nr_inodes", "inode64", "mb_optimize_scan"}, k) { // they follow the memory and the disk
				super = append(super, o)
			}
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s %s", l[4], r[0], r[1], l[3], l[5], strings.Join(super, ","), propagation))
	}
	want := strings.Split(strings.TrimSpace(expectedMounts), "\n")
	want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "#") })
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d:\n have %s\n want %s", i+1, g, w)
		}
	}
	if t.Failed() {
		t.Logf("all mounts:\n%s", strings.Join(got, "\n"))
	}
}
