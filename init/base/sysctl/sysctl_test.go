package sysctl

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/overlays"
)

func TestParse(t *testing.T) {
	got, err := Parse("# why\n\n ; too\n-a.b = 1 2\nnet/ipv4/x=\t3\nnet.ipv4.conf.eth0/20.rp_filter = 0\n")
	want := []Setting{{"a.b", "1 2", true}, {"net/ipv4/x", "3", false}, {"net.ipv4.conf.eth0/20.rp_filter", "0", false}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if p := got[2].Path(); p != "net/ipv4/conf/eth0.20/rp_filter" {
		t.Errorf("path %s, want %q", p, "net/ipv4/conf/eth0.20/rp_filter")
	}
	for _, bad := range []string{"a.b", "= 1", "-", "a b = 1", "net.*.x = 1"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}

func TestApply(t *testing.T) {
	dir, proc := t.TempDir(), t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put(dir+"/10-a.conf", "kernel.x = 1\n-kernel.absent = 1\nkernel.missing = 1\nkernel.z = 1\n")
	put(dir+"/20-b.conf", "kernel.x = 2\nnonsense\n")
	put(dir+"/30-c.conf", "kernel.y = 3\n")
	for _, name := range []string{"x", "y", "z"} {
		put(proc+"/kernel/"+name, "0\n")
	}
	err := Apply(dir, proc)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "kernel.missing") || !strings.Contains(err.Error(), "20-b.conf") || strings.Contains(err.Error(), "absent") {
		t.Errorf("got %v", err)
	}
	for name, want := range map[string]string{"x": "1\n", "y": "3\n", "z": "1\n"} {
		if got, err := os.ReadFile(proc + "/kernel/" + name); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
}

// The image's own file is read whole, each setting once and with a reason above it.
func TestImageSettings(t *testing.T) {
	files, _, err := overlays.Get("base")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(files, strings.TrimPrefix(Dir, "/")+"/50-shelf.conf")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(string(text))
	if err != nil || len(list) < 30 {
		t.Fatalf("%d settings: %v", len(list), err)
	}
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s.Name] || s.Value == "" {
			t.Errorf("%+v is there twice or is empty", s)
		}
		seen[s.Name] = true
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if !strings.HasPrefix(block, "#") {
			t.Errorf("no reason above %q", block)
		}
	}
	for name, least := range map[string]string{"kernel.yama.ptrace_scope": "1", "kernel.kptr_restrict": "1", "kernel.dmesg_restrict": "1", "fs.protected_hardlinks": "1", "fs.protected_symlinks": "1", "fs.protected_fifos": "1", "fs.protected_regular": "2", "kernel.unprivileged_bpf_disabled": "2"} {
		if i := slices.IndexFunc(list, func(s Setting) bool { return s.Name == name }); i < 0 || list[i].Value < least {
			t.Errorf("%s is less than Debian's %s", name, least)
		}
	}
}
