package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
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

// What is mounted is written under a temporary name as well.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	p := directory(dir, func() {})
	if err := p.put(".a.part", "a", strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	if err := p.put(".b.part", "b", io.MultiReader(strings.NewReader("te"), broken{})); err == nil {
		t.Error("a source that breaks is no error")
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

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }
