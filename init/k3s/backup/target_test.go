package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTarget(t *testing.T) {
	for in, want := range map[string]target{
		"sftp://b@nas/shelf":        {"sftp", "b", "nas", "22", "/shelf"},
		"sftp://b@nas:2222/a/../b/": {"sftp", "b", "nas", "2222", "/b"},
		"sftp://b@nas/~/shelf":      {"sftp", "b", "nas", "22", "shelf"},
		"nfs://nas/export/shelf":    {"nfs", "", "nas", "", "/export/shelf"},
		"nfs://[fd00::1]:2050/x":    {"nfs", "", "fd00::1", "2050", "/x"},
		"http://nas/x":              {},
		"sftp://nas/x":              {},
		"sftp://b@nas":              {},
		"sftp://b@nas/":             {},
		"sftp://b:secret@nas/x":     {},
		"nfs://nas/x,addr=1.2.3.4":  {},
		"nfs:///x":                  {},
		"sftp://b@nas/x?y":          {},
		"://":                       {},
		"sftp://b@nas/%00":          {},
	} {
		if got, err := parseTarget(in); (err != nil) != (want == target{}) || err == nil && got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"sftp://b@nas/shelf", "nfs://nas/x", "sftp://b@[::1]:1/~/x", "nfs://nas/x,y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := parseTarget(in); err == nil && (got.host == "" || got.dir == "/" || strings.ContainsAny(got.dir+got.host, ",\x00\n") || got.scheme == "sftp" && got.user == "") {
			t.Errorf("%q: %+v", in, got)
		}
	})
}

func TestNFSOptions(t *testing.T) {
	if got := nfsOptions("10.0.0.1", "", "4.2"); got != "vers=4.2,addr=10.0.0.1,proto=tcp,soft,timeo=150,retrans=3,sec=sys" {
		t.Error(got)
	}
	if got := nfsOptions("fd00::1", "2050", "4.0"); got != "vers=4.0,addr=fd00::1,proto=tcp6,soft,timeo=150,retrans=3,sec=sys,port=2050" {
		t.Error(got)
	}
}

// A mounted target is written under a temporary name as well.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	p, err := directory(dir, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.put(".a.part", "a", strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	if err := p.put(".b.part", "b", io.MultiReader(strings.NewReader("te"), broken{})); err == nil {
		t.Error("a source that breaks is not an error")
	}
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if list, err := p.list(); err != nil || !reflect.DeepEqual(list, []Entry{{"a", 4}}) {
		t.Error(list, err)
	}
	if err := p.remove("a"); err != nil {
		t.Error(err)
	}
}

// Another user of the directory puts links there that lead out of it: nothing is written, read or
// removed through them.
func TestDirectoryFollowsNothing(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{".a.part": victim, "a": victim, ".n.part": filepath.Join(outside, "new"), "one-20200101T000000Z.tar.zst": victim, "sub": outside} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := directory(dir, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, tmp := range []string{".a.part", ".n.part", "sub/x", "../x"} {
		if err := p.put(tmp, "new", strings.NewReader("text")); err == nil {
			t.Errorf("%s was written to", tmp)
		}
	}
	if err := p.put(".b.part", "a", strings.NewReader("text")); err != nil { // the link goes, not its target
		t.Error(err)
	}
	if err := p.put(".c.part", "sub/x", strings.NewReader("text")); err == nil {
		t.Error("a name with a directory was written to")
	}
	if list, err := p.list(); err != nil || !reflect.DeepEqual(list, []Entry{{"a", 4}}) {
		t.Errorf("got %v, %v", list, err)
	}
	_ = p.remove("sub/victim")
	if got, err := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("got %q, %v", got, err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside: %v, want length 1", entries)
	}
}

// The temporary name cannot be known before, and is found again as a half of this node's.
func TestPartName(t *testing.T) {
	const name = "one-20200106T000000Z.tar.zst"
	a, b := partName(name), partName(name)
	if a == b {
		t.Errorf("twice %s", a)
	}
	all := []Entry{{Name: a}, {Name: partName("one-more-20200106T000000Z.tar.zst")}, {Name: ".one-20200106T000000Z.tar.zst.part"}, {Name: name}}
	if got := halves(all, "One"); !reflect.DeepEqual(got, []string{a, ".one-20200106T000000Z.tar.zst.part"}) {
		t.Errorf("got %q", got)
	}
}

func TestNFSFlags(t *testing.T) {
	const want = unix.MS_NOSYMFOLLOW | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if nfsFlags&want != want {
		t.Errorf("got %#x", nfsFlags)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }
