package migrate

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestSudo(t *testing.T) {
	for _, c := range []struct {
		uid, gid string
		ok       bool
	}{{"1000", "1001", true}, {"", "", false}, {"0", "0", false}, {"1000", "", false}, {"x", "1", false}, {"-1", "5", false}} {
		uid, gid, ok := sudoer(func(name string) string { return map[string]string{"SUDO_UID": c.uid, "SUDO_GID": c.gid}[name] })
		if ok != c.ok || ok && (uid != 1000 || gid != 1001) {
			t.Errorf("%q %q: %d %d %v", c.uid, c.gid, uid, gid, ok)
		}
	}
	t.Setenv("SUDO_UID", "54321")
	t.Setenv("SUDO_GID", "54322")
	out := filepath.Join(t.TempDir(), "n.tar")
	if _, err := run(t, Options{Source: fileSystem(t, "K3OS_STATE", server(t)), Out: out, Mode: Fresh}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	want := uint32(os.Getuid())
	if want == 0 {
		want = 54321
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != want || info.Mode().Perm() != 0o600 {
		t.Errorf("it belongs to %d, %v", st.Uid, info.Mode())
	}
}
