package apply

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

func TestFilesAreTakenBack(t *testing.T) {
	m := box(t)
	m.Track = &Track{}
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		os.MkdirAll(filepath.Dir(m.Root+path), 0o755)
		if err := os.WriteFile(m.Root+path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	files := func(f ...config.File) {
		t.Helper()
		if err := m.Files(f); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(path string) {
		t.Helper()
		if _, err := os.Lstat(m.Root + path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	put("/var/theirs", "old", 0o640)
	put("/etc/motd", "the image's", 0o644)
	all := []config.File{{Path: "/opt/a", Content: "a"}, {Path: "/opt/changed", Content: "b"}, {Path: "/var/theirs", Content: "new"}, {Path: "/etc/motd", Content: "mine"}, {Path: "/etc/new", Content: "n"}}
	files(all...)
	files(all...) // a second boot
	all[0].Content = "a2"
	files(all...)
	put("/opt/changed", "by hand", 0o644)
	files(all[0])
	if m.read(t, "/opt/a") != "a2" || m.read(t, "/opt/changed") != "by hand" || m.read(t, "/var/theirs") != "old" || m.read(t, "/etc/motd") != "the image's" {
		t.Errorf("%q %q %q", m.read(t, "/opt/changed"), m.read(t, "/var/theirs"), m.read(t, "/etc/motd"))
	}
	if st, _ := os.Stat(m.Root + "/var/theirs"); st.Mode().Perm() != 0o640 {
		t.Errorf("what was there has mode %v", st.Mode())
	}
	gone("/etc/new")
	files()
	gone("/opt/a")
	files()
	for _, dir := range []string{trackLasting, trackVolatile} {
		if left, _ := os.ReadDir(m.Root + dir); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

// At a new boot /etc and /run are the image's again, and what is noted about them is gone with
// them.
func TestFilesAfterABoot(t *testing.T) {
	m := box(t)
	m.Track = &Track{}
	if err := m.Files([]config.File{{Path: "/etc/x", Content: "x"}, {Path: "/opt/x", Content: "x"}}); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(m.Root + "/run")
	os.Remove(m.Root + "/etc/x")
	os.WriteFile(m.Root+"/etc/x", []byte("the new image's"), 0o644)
	m.Track = &Track{}
	if err := m.Files(nil); err != nil {
		t.Fatal(err)
	}
	if m.read(t, "/etc/x") != "the new image's" {
		t.Error("a file of the new image is taken away")
	}
	if _, err := os.Stat(m.Root + "/opt/x"); err == nil {
		t.Error("a file of the boot before stays")
	}
}

func TestSettingsAreTakenBack(t *testing.T) {
	m := box(t)
	m.Track = &Track{}
	os.MkdirAll(m.Root+"/proc/sys/vm", 0o755)
	os.WriteFile(m.Root+"/proc/sys/vm/swappiness", []byte("60\n"), 0o644)
	os.MkdirAll(m.Root+"/usr/share/zoneinfo", 0o755)
	os.WriteFile(m.Root+"/usr/share/zoneinfo/CET", nil, 0o644)
	for _, v := range []string{"10", "20"} {
		if err := m.Sysctls(map[string]string{"vm.swappiness": v}); err != nil || m.read(t, "/proc/sys/vm/swappiness") != v+"\n" {
			t.Fatalf("%v %q", err, m.read(t, "/proc/sys/vm/swappiness"))
		}
		if err := m.Environment(map[string]string{"A": "new", "B": v}); err != nil || !strings.Contains(m.read(t, "/etc/environment"), "B="+v) || strings.Count(m.read(t, "/etc/environment"), "B=") != 1 {
			t.Fatalf("%v %q", err, m.read(t, "/etc/environment"))
		}
	}
	if err := m.Zone("CET"); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{m.Sysctls(nil), m.Environment(nil), m.Zone("")} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := m.read(t, "/proc/sys/vm/swappiness"); got != "60\n" {
		t.Errorf("swappiness %q", got)
	}
	if got := m.read(t, "/etc/environment"); got != "# ours\nA=old\nKEEP=1\n" {
		t.Errorf("environment %q", got)
	}
	if _, err := os.Lstat(m.Root + "/etc/localtime"); err == nil {
		t.Error("the time zone stays")
	}
}

// Clear text never gets into /etc/shadow, wherever it comes from.
func TestClearTextPassword(t *testing.T) {
	m := box(t)
	cfg := &config.Config{K3OS: config.K3OS{Password: "clear text"}}
	if err := HashPassword(cfg); err != nil {
		t.Fatal(err)
	}
	if m.Password("clear text") == nil {
		t.Error("clear text is taken")
	}
	if err := m.Password(cfg.K3OS.Password); err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(strings.Split(m.read(t, "/etc/shadow"), "rancher:")[1], ":")[0]
	if !config.Hashed(hash) || hash == "!" {
		t.Errorf("%q", hash)
	}
}
