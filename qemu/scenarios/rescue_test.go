package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/vm"
)

// rescueConfig has all that must not run on a node without its data, and a password for the
// console.
func rescueConfig() string {
	return cloudConfig("shelf-rescue", `k3os:
  password: open sesame
  server_url: https://10.0.2.2:16443
  token: K10secret
run_cmd:
- touch /run/run-cmd-ran
services:
  mine:
    command: [sleep, "1000000"]
`)
}

// TestRescue takes an installed node to its rescue system and back, destroys its data partition
// there, and repairs it with the command that the node shows.
func TestRescue(t *testing.T) {
	t.Parallel()
	im := build(t, rescueConfig(), "board=qemu-arm64", "role=worker", "k3s=none")
	g := boot(t, vm.Options{Image: im.Image, Name: "rescue", Machine: "virt"})[0]
	g.up()
	s := g.login()
	s.run("echo precious > keep-me && test -e /run/run-cmd-ran && sync")
	s.until("shelf status output=json", `"mine"`)
	own := s.HostKey.Marshal()
	sub(t, "login on the console", func(t *testing.T) {
		g.Type("\n") // the first prompt may have been printed before the node was ready
		g.see(`shelf-rescue login:`)
		g.Type("rancher\n")
		g.see(`Password:`)
		g.Type("wrong\n")
		g.see(`Login incorrect`)
		g.see(`shelf-rescue login:`)
		g.Type("rancher\n")
		g.see(`Password:`)
		g.Type("open sesame\n")
		g.see(`rancher@shelf-rescue`)
		g.Type("echo $(id -un)-$((40 + 2)); exit\n")
		g.see(`rancher-42`)
		g.see(`shelf-rescue login:`) // again
	}, g)
	if out := s.run("sudo shelf data"); !strings.Contains(out, "in use at /") {
		t.Errorf("shelf data shows for a healthy node:\n%s", out)
	}
	for _, command := range []string{"sudo shelf data format yes=format", "sudo shelf data repair yes=repair"} {
		if out, err := s.try(command); err == nil {
			t.Errorf("%s works on a partition in use: %s", command, out)
		}
	}
	// A change over the network is in force also when the node has nothing but BOOT.
	renamed := strings.Replace(rescueConfig(), "hostname: shelf-rescue", "hostname: shelf-renamed", 1)
	if out := s.run("sudo shelf config apply - try=no <<'END'\n" + renamed + "END"); strings.Contains(out, "from before") {
		t.Errorf("BOOT has no space:\n%s", out)
	}
	if got := s.run("sudo cat /boot/config.yaml"); !strings.Contains(got, "hostname: shelf-renamed") || strings.Contains(got, "K10secret") {
		t.Errorf("BOOT has\n%s", got)
	}
	s.run("sudo shelf rescue on")
	s.try("sudo shelf reboot")

	g.see(`shelf: rescue: rescue.txt on the boot partition asks for it`)
	g.see(`shelf: ready`)
	s = g.login()
	sub(t, "rescue", func(t *testing.T) {
		degraded(t, s, "rescue")
		s.run("! grep -q /dev/vda4 /proc/mounts")
		if out := s.run("cat /etc/motd"); !strings.Contains(out, "RESCUE") || !strings.Contains(out, "sudo shelf rescue off") {
			t.Errorf("at login the node prints:\n%s", out)
		}
		// It may be looked at, as shelf data shows.
		look := regexp.MustCompile(`sudo mount -o ro,noload \S+ /mnt`).FindString(s.run("sudo shelf data"))
		if got := s.run(look + " && cat /mnt/k3os/data/home/rancher/keep-me && sudo umount /mnt"); got != "precious" {
			t.Errorf("%s shows %q", look, got)
		}
	}, g)
	// The first superblock, the group descriptors and what follows.
	s.run("sudo dd if=/dev/zero of=/dev/vda4 bs=64k count=1 conv=fsync 2>&1 && sudo shelf rescue off")
	sum := s.run("sudo sha256sum /dev/vda4")
	s.try("sudo shelf reboot")

	g.see(`shelf: PROBLEM what went wrong: the data partition is not in use: .*magic number`)
	g.see(`shelf: PROBLEM how to fix it: .*sudo shelf data`)
	g.see(`shelf: ready`)
	s = g.login()
	sub(t, "destroyed", func(t *testing.T) {
		degraded(t, s, "DEGRADED")
		if got := s.run("sudo sha256sum /dev/vda4"); got != sum {
			t.Errorf("the node changed its damaged data partition: %s, before %s", got, sum)
		}
		shown, err := ssh.ParsePublicKey(s.HostKey.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"report.txt": s.run("sudo cat /boot/report.txt"), "the console": g.Output()} {
			if !strings.Contains(strings.Join(strings.Fields(text), ""), ssh.FingerprintSHA256(shown)) {
				t.Errorf("%s does not name the key that ssh shows", where)
			}
			if !strings.Contains(text, "shelf data") {
				t.Errorf("%s does not show what to do", where)
			}
		}
		if out, err := s.try("sudo shelf data repair < /dev/null"); err == nil || !strings.Contains(err.Error(), "yes=repair") {
			t.Errorf("repair does not ask: %s %v", out, err)
		}
		s.run("sudo shelf data repair yes=repair")
		s.run("sudo e2fsck -fn /dev/vda4 && sudo mount -o ro /dev/vda4 /mnt && sudo grep precious /mnt/k3os/data/home/rancher/keep-me && sudo umount /mnt")
	}, g)
	if !full {
		s.off()
		return
	}
	s.try("sudo shelf reboot")
	g.up()
	s = g.login()
	if string(own) != string(s.HostKey.Marshal()) || s.run("cat keep-me; shelf status > /dev/null; echo $?") != "precious\n0" {
		t.Error("the repaired node is not the one that it was")
	}
	s.off()
	t.Run("the word on the kernel's command line", func(t *testing.T) {
		disk := filepath.Join(t.TempDir(), "disk.img")
		duplicate(t, g.Disk, disk)
		g := boot(t, vm.Options{Image: disk, Kept: true, Name: "word", Machine: "virt", Direct: true, Append: "shelf.rescue"})[0]
		g.see(`shelf: rescue: shelf.rescue on the kernel's command line asks for it`)
		g.see(`shelf: ready`)
		s := g.login()
		degraded(t, s, "rescue")
		s.off()
	})
	t.Run("no space", func(t *testing.T) { noSpace(t, g.Disk) })
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) { damaged(t, g.Disk, d) })
	}
}

// noSpace boots a node whose data partition is full to the last block, and which would have had to
// write: its host keys are gone.
func noSpace(t *testing.T, installed string) {
	disk := filepath.Join(t.TempDir(), "disk.img")
	duplicate(t, installed, disk)
	g := boot(t, vm.Options{Image: disk, Kept: true, Name: "full", Machine: "virt"})[0]
	g.up()
	s := g.login()
	s.run("sudo truncate -s 0 /var/lib/rancher/k3os/ssh/ssh_host_*_key && sync")
	s.try("sudo sh -c 'fallocate -l $(df -B1 --output=avail / | tail -1) /var/fill; for n in 1 2 3; do dd if=/dev/zero of=/var/fill$n bs=4k; done; sync'")
	if out, err := s.try("sudo sh -c 'echo x > /var/more'"); err == nil {
		t.Fatalf("there is space left: %s", out)
	}
	s.try("sudo shelf reboot")
	g.see(`shelf: PROBLEM what went wrong: .*no space left`)
	g.see(`shelf: ready`)
	s = g.login()
	out, err := s.try("shelf status")
	if err == nil || !strings.Contains(out, "no space left") {
		t.Errorf("shelf status shows\n%s\n%v", out, err)
	}
	s.run("sudo rm /var/fill*")
	s.try("sudo shelf reboot")
	g.up()
	s = g.login()
	if got := s.run("cat keep-me"); got != "precious" {
		t.Errorf("%q", got)
	}
	s.off()
}

// degraded holds a node that runs without its data against what it must and must not do.
func degraded(t *testing.T, s *shell, word string) {
	t.Helper()
	out, err := s.try("shelf status")
	if err == nil || !strings.Contains(err.Error(), "status 7") {
		t.Errorf("shelf status ends with %v", err)
	}
	if !strings.Contains(strings.ToLower(out), strings.ToLower(word)) {
		t.Errorf("shelf status does not show %s:\n%s", word, out)
	}
	var st struct {
		Hostname string
		Degraded bool
		Services []struct{ Name string }
	}
	text, _ := s.try("shelf status output=json")
	if err := json.Unmarshal([]byte(text), &st); err != nil || !st.Degraded || st.Hostname != "shelf-renamed" {
		t.Errorf("status: %+v %v", st, err)
	}
	for _, u := range st.Services {
		if u.Name != "sshd" && u.Name != "node-exporter" && u.Name != "wpa_supplicant" && !strings.HasPrefix(u.Name, "getty-") {
			t.Errorf("the service %s runs", u.Name)
		}
	}
	s.run("test ! -e /run/run-cmd-ran && sudo touch /var/lib/x && stat -f -c %T / | grep tmpfs")
}

// damage is one way to lose a data partition. Comes is how the node comes up.
type damage struct {
	name  string
	do    func(t *testing.T, disk string)
	comes string // of a regular expression of the console
	able  string // what makes it well again: repair, format, both in turn, or nothing because the node did it
	kept  bool   // what was on it is there afterwards
	same  bool   // the node writes nothing to the partition
}

const p4 = 1520 << 20

var damages = []damage{
	{"root inode", func(t *testing.T, disk string) { zero(t, disk, inodeTable(t, disk)+256, 256) }, `not found on it`, "format", false, false},
	{"inode table", func(t *testing.T, disk string) { zero(t, disk, inodeTable(t, disk), 1<<20) }, `not found on it`, "format", false, false},
	{"journal", func(t *testing.T, disk string) { zero(t, disk, journal(t, disk), 64<<10) }, `has been repaired`, "", true, false},
	{"inode of k3os", func(t *testing.T, disk string) { ref(t, "debugfs", "-w", "-R", "clri /k3os", dataFS(disk)) }, `the data partition is not in use`, "repair format", false, false},
	{"no partition 4", func(t *testing.T, disk string) { zero(t, disk, 446+3*16, 16) }, `no partition 4`, "repair", true, true},
	{"another label", func(t *testing.T, disk string) { ref(t, "tune2fs", "-L", "MINE", dataFS(disk)) }, `the label "MINE"`, "repair", true, true},
	{"another file system", func(t *testing.T, disk string) { zero(t, disk, p4, 300<<20) }, `magic number`, "format", false, true},
}

func zero(t *testing.T, disk string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, n), at); err != nil {
		t.Fatal(err)
	}
}

// inodeTable is the place of the first group's inodes.
func inodeTable(t *testing.T, disk string) int64 {
	return blockAfter(t, ref(t, "debugfs", "-R", "show_super_stats", dataFS(disk)), `inode table at (\d+)`)
}

func journal(t *testing.T, disk string) int64 {
	return blockAfter(t, ref(t, "debugfs", "-R", "blocks <8>", dataFS(disk)), `(?m)^(\d+) `)
}

func blockAfter(t *testing.T, text, pattern string) int64 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in:\n%.500s", pattern, text)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return p4 + n*4096
}

// damaged boots an installed disk with one damage, and repairs it by the node's own advice.
func damaged(t *testing.T, installed string, d damage) {
	disk := filepath.Join(t.TempDir(), "disk.img")
	duplicate(t, installed, disk)
	d.do(t, disk)
	g := boot(t, vm.Options{Image: disk, Kept: true, Name: "damaged", Machine: "virt"})[0]
	g.see(`shelf: PROBLEM what went wrong: .*` + d.comes)
	g.see(`shelf: ready`)
	s := g.login()
	if d.able != "" {
		degraded(t, s, "DEGRADED")
		if d.same {
			if out := s.run("sudo dmesg"); strings.Contains(out, "EXT4-fs (vda4): mounted") {
				t.Errorf("it was mounted:\n%s", out)
			}
		}
		if d.able == "format" && !d.kept && d.same {
			if out, err := s.try("sudo shelf data repair yes=repair"); err == nil {
				t.Errorf("repair finds something: %s", out)
			}
		}
		for n, able := range strings.Fields(d.able) {
			if n > 0 { // what was tried first has emptied it
				g.see(`shelf: PROBLEM what went wrong: .*lost\+found`)
				g.see(`shelf: ready`)
				s = g.login()
				degraded(t, s, "DEGRADED")
			}
			s.run(fmt.Sprintf("sudo shelf data %s yes=%s", able, able))
			s.try("sudo shelf reboot")
		}
		g.up()
		s = g.login()
	}
	want := "gone\n0"
	if d.kept {
		want = "precious\n0"
	}
	if got := s.run("cat keep-me 2>/dev/null || echo gone; shelf status > /dev/null; echo $?"); got != want {
		t.Errorf("afterwards: %q, want %q", got, want)
	}
	s.off()
	ref(t, "e2fsck", "-fn", dataFS(disk))
}
