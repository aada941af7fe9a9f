package scenarios

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"gopkg.in/yaml.v3"

	"imgbuild/builder/cluster"
)

// shelfFile is a cluster.yaml with the secrets that `imgbuild new cluster` has made for it.
type shelfFile struct {
	*cluster.Cluster
	dir   string
	known func(node string, key ssh.PublicKey) error // what ssh thinks of a host key
}

// newShelf writes the file and has the public command make what belongs to it.
func newShelf(t *testing.T, l laptop, text string) shelfFile {
	t.Helper()
	s := shelfFile{dir: t.TempDir()}
	file := filepath.Join(s.dir, cluster.File)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l.dir = s.dir
	if out, code := l.imgbuild(t, "new", "cluster", "lock=none"); code != 0 {
		t.Fatalf("imgbuild new cluster: code %d: %s", code, out)
	}
	var err error
	if s.Cluster, _, err = cluster.Open(s.dir, nil); err != nil {
		t.Fatal(err)
	}
	known, err := knownhosts.New(filepath.Join(l.home, ".ssh", "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	s.known = func(node string, key ssh.PublicKey) error {
		return known(net.JoinHostPort(s.Node(node).Host(), "22"), &net.TCPAddr{}, key)
	}
	return s
}

// of returns the secrets of a node by what they are. Of the host key it is a line.
func (s shelfFile) of(t *testing.T, node string) map[string]string {
	t.Helper()
	var c struct {
		K3OS  struct{ Token string }
		Shelf struct {
			HostKey  string `yaml:"ssh_host_key"`
			Password string `yaml:"node_password"`
		}
	}
	if err := yaml.Unmarshal(s.Node(node).Config, &c); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(c.Shelf.HostKey, "\n")
	if len(lines) < 4 || c.K3OS.Token == "" || c.Shelf.Password == "" {
		t.Fatalf("the configuration of %s lacks secrets", node)
	}
	return map[string]string{"the token": c.K3OS.Token, "the node password": c.Shelf.Password, "the host key": lines[2]}
}
