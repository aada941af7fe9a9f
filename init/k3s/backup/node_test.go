package backup

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

// The version of k3s is taken from a manifest that is whole, and from nothing else.
func TestK3sOf(t *testing.T) {
	dir := t.TempDir()
	m := manifest.Manifest{Format: manifest.Format, Family: "rpi64", Version: "v", Roles: []string{"server"}, Compatible: []string{"a"},
		K3s: &manifest.K3s{Version: "v1.35.0+k3s1"}, Root: manifest.Root{Offset: 4096, Size: 4096, TreeOffset: 8192, TreeSize: 4096, Hash: fmt.Sprintf("%x", sha256.Sum256(nil))}}
	data, sum, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		text       []byte
		want       string
	}{
		{"nothing", "", nil, ""}, {"no sum", manifest.Name, data, ""}, {"whole", manifest.SumName, sum, "v1.35.0+k3s1"}, {"damaged", manifest.Name, data[1:], ""},
	} {
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(dir, c.file), c.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := k3sOf(dir); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What is known of another place does not count, and a failure is reported until a backup arrives.
func TestStatus(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1800000000, 0)
	c := &config.Config{}
	if s, err := Status(c, dir); fault.Code(err) != int(fault.Input) {
		t.Errorf("no backup.to: got %+v, %v, want a fault of kind Input", s, err)
	}
	c.Backup.To = "sftp://backup@nas/shelf"
	if s, err := Status(c, dir); err != nil || !s.Last.IsZero() || s.Failure(now) != nil {
		t.Errorf("nothing yet: got %+v, %v", s, err)
	}
	noted := State{To: Shown(c.Backup.To), Last: now.Add(-time.Hour), Name: "a", Error: "no network", Tried: now.Add(-time.Minute), Fails: 1}
	if err := noted.save(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Status(c, dir)
	if err != nil || s.Name != "a" || fault.Code(s.Failure(now)) != int(fault.Unhealthy) {
		t.Errorf("got %+v, %v, %v, want the state with a failure of kind Unhealthy", s, err, s.Failure(now))
	}
	c.Backup.To = "sftp://backup@other/shelf"
	if s, err := Status(c, dir); err != nil || s.Name != "" || s.Failure(now) != nil {
		t.Errorf("another place: got %+v, %v, want nothing", s, err)
	}
}
