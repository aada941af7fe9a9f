package scenarios

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/vm"
)

// tailSize is how many random bytes are behind a stand-in for k3s, so that a place in a slot can be
// found and damaged: squashfs keeps them as they are.
const tailSize = 2 << 20

// tailed returns a stand-in for k3s with random bytes behind it, which the kernel does not load.
func tailed(t *testing.T) (word string, tail []byte) {
	t.Helper()
	program, err := os.ReadFile(strings.TrimPrefix(k3s(t, "arm64"), "k3s="))
	if err != nil {
		t.Fatal(err)
	}
	tail = make([]byte, tailSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(tail) // never fails
	out := filepath.Join(t.TempDir(), "k3s-tailed")
	if err := os.WriteFile(out, append(program, tail...), 0o700); err != nil {
		t.Fatal(err)
	}
	return "k3s=" + out, tail
}

// TestUpgradeLong is one server through many versions: from other sources, refused ones, ways to
// fail that TestUpgrade has not, two good ones behind each other, and damaged blocks in both slots.
// FULL: about 25 boots.
func TestUpgradeLong(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, l.serverConfig())
	words := []string{"board=rpi4", "role=server"}
	k3sWord, tail := tailed(t)
	good := append(slices.Clone(words), k3sWord)
	v1 := all.build(t, "", good...)
	v2 := all.build(t, otherInit(t, "two", "arm64", named("two")), good...)
	stick := filepath.Join(t.TempDir(), "stick.img")
	if err := os.WriteFile(stick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(stick, 128<<20); err != nil {
		t.Fatal(err)
	}
	ref(t, "mkfs.vfat", "-n", "STICK", stick)
	ref(t, "mcopy", "-i", stick, v2.bundle, "::")
	_, cable := testLAN(t)
	args := []string{"-device", "qemu-xhci,id=usb", "-blockdev", "driver=raw,node-name=stick,read-only=on,file.driver=file,file.filename=" + stick}
	g := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{cable}, Args: args})[0]
	g.up()
	s := g.login()
	s.until("sudo shelf status -o json || true", `"synced": true`)

	sub(t, "refused", func(t *testing.T) {
		plain := all
		plain.config = cloudConfig("shelf-storage", "")
		for name, c := range map[string]struct {
			r    release
			code int
		}{
			"another family": {all.build(t, "", "board=qemu-arm64", "role=server", good[2]), 3},
			"another role":   {plain.build(t, "", "board=rpi4", "role=storage"), 3},
		} {
			if out, code := l.upgrade(t, g, c.r); code != c.code || strings.Contains(out, "reboots into") {
				t.Errorf("%s: got code %d, want %d", name, code, c.code)
			}
		}
	}, g)
	sub(t, "from a web server", func(t *testing.T) {
		s := g.login()
		web := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(v2.bundle))))
		defer web.Close()
		address := strings.Replace(web.URL, "127.0.0.1", vm.Host, 1) + "/"
		stale := again(t, v2, all.key, "expires=2020-01-31", "out="+filepath.Join(filepath.Dir(v2.bundle), "stale.upgrade"))
		if out, err := s.try("sudo shelf upgrade arm=no " + address + filepath.Base(stale.bundle) + " 2>&1"); err == nil || !strings.Contains(out+err.Error(), "2020-01-31") {
			t.Errorf("an expired bundle: %s, %v", out, err)
		}
		if err := os.Remove(stale.bundle); err != nil { // the laptop would take the newest one
			t.Fatal(err)
		}
		if got := s.run("sudo shelf upgrade arm=no " + address + filepath.Base(v2.bundle) + " 2>&1"); !strings.Contains(got, "is in slot b") || !strings.Contains(got, "is not tried") {
			t.Errorf("got %q", got)
		}
	}, g)
	sub(t, "from a stick", func(t *testing.T) {
		s := g.login()
		if err := g.Plug("usb-storage", "disk0", map[string]any{"bus": "usb.0", "drive": "stick"}); err != nil {
			t.Fatal(err)
		}
		s.until("ls /dev/sda", "sda")
		if got := s.run("sudo shelf upgrade arm=no usb 2>&1"); !strings.Contains(got, v2.version) || !strings.Contains(got, "already, whole") {
			t.Errorf("got %q", got)
		}
		if got := s.run("grep -c sda /proc/mounts || true"); got != "0" {
			t.Errorf("the stick is mounted still: %s", got)
		}
		g.unplug()
	}, g)

	// falls upgrades to a version that does not come up; the node is in slot a again.
	falls := func(name string, bad release, reason string, events ...string) {
		sub(t, name, func(t *testing.T) {
			before := len(g.Output())
			if out, code := l.upgrade(t, g, bad, "from="+v1.image); code != 7 || !regexp.MustCompile(`rolled back .*`+reason).MatchString(out) {
				t.Errorf("got code %d, want 7 with %q", code, reason)
			}
			s = g.login()
			runs(t, s, v1, "a")
			console := g.Output()[before:]
			for _, e := range append([]string{"booting slot b"}, append(events, "booting slot a")...) {
				at := regexp.MustCompile(e).FindStringIndex(console)
				if at == nil {
					t.Errorf("the console has no %q where it should", e)
					continue
				}
				console = console[at[1]:]
			}
		}, g)
	}
	falls("no init", all.build(t, otherInit(t, "noinit", "arm64", edit{"builder/image/kernel.go", `{{Path: "init", `, `{{Path: "gone", `}), good...),
		"trial-b-exhausted", "Kernel panic - not syncing", "booting slot b", "booting slot b")
	falls("the kernel panics, the network is lost", all.build(t, otherInit(t, "lost", "arm64", soon, edit{"init/boot/services_linux.go", "	n.online.Start()\n", ""},
		edit{"init/boot/steps_linux.go", "import (\n", "import (\n	\"os\"\n"}, edit{"init/boot/steps_linux.go", stepOfInit, stepOfInit + `
	if n.Pre().Cmdline["shelf.left"] == "2" && number > 2 {
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	}
`}), good...), "unhealthy", "Kernel panic - not syncing: sysrq triggered crash", "booting slot b", "not healthy after 40s: .*address is ")

	const database = "/var/lib/rancher/k3s/server/db/state.db"
	s.run("sudo mkdir -p " + filepath.Dir(database) + "; echo of the old k3s | sudo tee " + database + "; sudo sync")
	falls("another minor version of k3s", all.build(t, otherInit(t, "minor", "arm64", soon, named("minor")), append(slices.Clone(words), standinThat(t, "minor",
		edit{"qemu/fixtures/standin/main.go", `"v1.35.0+k3s1"`, `"v1.36.0+k3s1"`},
		edit{"qemu/fixtures/standin/main.go", "		err = run(ctx, args[0], args[1:])\n", "		err = os.WriteFile(\"" + database + "\", []byte(\"of the new k3s\"), 0o600)\n		say(\"info\", \"migrated\")\n		<-ctx.Done()\n"}))...),
		"k3s", "not healthy after 40s: k3s")
	sub(t, "the datastore is back", func(t *testing.T) {
		s := g.login()
		if got := s.run("sudo cat " + database); got != "of the old k3s" {
			t.Errorf("the datastore is %q", got)
		}
		if got := s.run("sudo find " + filepath.Dir(filepath.Dir(database)) + " -name 'state.db*' -exec grep -l 'of the new k3s' {} +; true"); got == "" {
			t.Error("what was replaced is not kept")
		}
		s.run("sudo rm " + database)
	}, g)

	sub(t, "the token changes", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		if out, code := l.imgbuild(t, "token", "rotate", g.Forward[22], "new="+file, "key=accept-new"); code != 0 {
			t.Fatalf("code %d: %s", code, out)
		}
		word, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := g.login()
		s.until("sudo k3s kubectl get --raw /readyz", "ok")
		if got := s.run("sudo cat /var/lib/rancher/k3s/server/token"); !strings.HasSuffix(got, "::server:"+strings.TrimSpace(string(word))) {
			t.Errorf("the server has the token %q, want %q", got, word)
		}
	}, g)

	v3 := all.build(t, otherInit(t, "three", "arm64", named("three")), good...)
	sub(t, "one interrupted, then another version, then one more", func(t *testing.T) {
		u := l.begin(t, g, v2, "from="+v1.image)
		u.see(`\bwrite\b`)
		u.interrupt()
		for _, step := range []struct {
			r, from release
			slot    string
		}{{v3, v1, "b"}, {v2, v3, "a"}} {
			if out, code := l.upgrade(t, g, step.r, "from="+step.from.image); code != 0 || !strings.Contains(out, "is committed") {
				t.Fatalf("%s: code %d", step.r.version, code)
			}
			s = g.login()
			runs(t, s, step.r, step.slot)
		}
	}, g)

	sub(t, "both slots are damaged", func(t *testing.T) {
		s.off()
		if r := records(t, g.Disk); r.Active != bootstate.A || r.A != bootstate.Good || r.B != bootstate.Good {
			t.Fatalf("the boot record is %+v", r)
		}
		blocks := map[string][2]int64{"a": damageTail(t, g.Disk, vm.SlotA, tail), "b": damageTail(t, g.Disk, vm.SlotB, tail)}
		_, cable := testLAN(t)
		g := start(t, vm.Options{Image: g.Disk, Kept: true, Name: "server", Machine: "virt", Memory: 2048, Links: []*vm.Link{cable}})[0]
		read := func(block int64) {
			t.Helper()
			out, err := s.try(damagedRead(block))
			if err == nil || !strings.Contains(out+err.Error(), "Input/output error") {
				t.Errorf("block %d: %q, %v", block, out, err)
			}
		}
		g.see(`shelf: booting slot a`)
		s = g.login()
		read(blocks["a"][0])
		_, _ = s.try(damagedRead(blocks["a"][1])) // the connection may go before the answer comes
		g.see(`shelf: booting slot b`)
		g.see(`step services ok`)
		s = g.login()
		read(blocks["b"][0])
		read(blocks["b"][1])
		s.until("shelf status || true", "replace the card; there is no better system to go to")
		if _, err := s.try("shelf status"); err == nil || !strings.Contains(err.Error(), "status 7") {
			t.Errorf("shelf status ends with %v, want 7", err)
		}
		runs(t, s, v3, "b")
		ctx, stop := context.WithTimeout(t.Context(), patience)
		defer stop()
		if _, err := s.Run(ctx, "sudo dmesg | grep -c 'is corrupted'"); err != nil {
			t.Errorf("the kernel reports no damaged block: %v", err)
		}
		s.off()
		if r := records(t, g.Disk); r.A != bootstate.Bad || r.Active != bootstate.B {
			t.Errorf("the boot record is %+v", r)
		}
	}, g)
}

// damagedRead is a command that reads a block of /usr below its file system.
func damagedRead(block int64) string {
	return fmt.Sprint("sudo dd if=/dev/dm-0 of=/dev/null bs=4096 count=1 skip=", block, " 2>&1")
}

// damageTail flips a byte in two blocks of a slot, far from each other, and gives their numbers
// below /usr's verity.
func damageTail(t *testing.T, disk string, slot int, tail []byte) (blocks [2]int64) {
	t.Helper()
	im := openImage(t, disk)
	m, err := im.Manifest(slot)
	if err != nil {
		t.Fatal(err)
	}
	p := im.Partition(slot)
	data := make([]byte, m.Root.Size)
	if _, err := p.ReadAt(data, m.Root.Offset); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start := map[int]int64{vm.SlotA: slotAStart, vm.SlotB: slotBStart}[slot] + m.Root.Offset
	for i, part := range []int{tailSize / 4, tailSize * 3 / 4} {
		at := int64(bytes.Index(data, tail[part:part+4096]))
		if at < 0 {
			t.Fatal("the random bytes are not in the slot")
		}
		if _, err := f.WriteAt([]byte{tail[part] ^ 1}, start+at); err != nil {
			t.Fatal(err)
		}
		blocks[i] = at / 4096
	}
	return blocks
}
