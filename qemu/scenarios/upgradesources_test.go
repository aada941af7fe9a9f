package scenarios

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// TestUpgradeSources offers a server bundles of another family and role, one that has expired, and
// good ones from a web server and a stick, which are written and not tried; and changes the token
// of its cluster. FULL: one boot.
func TestUpgradeSources(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, l.serverConfig())
	words := []string{"board=rpi4", "role=server"}
	good := append(slices.Clone(words), k3s(t, "arm64"))
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
		if got := s.run("sudo shelf upgrade arm=no usb 2>&1"); !strings.Contains(got, v2.version) || !strings.Contains(got, "is in slot b") {
			t.Errorf("got %q", got)
		}
		if got := s.run("grep -c sda /proc/mounts || true"); got != "0" {
			t.Errorf("the stick is mounted still: %s", got)
		}
		g.unplug()
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

	g.login().off()
}
