package sources

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

const second = `hostname: node2
ssh_authorized_keys: [ssh-ed25519 AAAA me, ssh-ed25519 BBBB you]
k3os:
  token: "K10another-token"
network:
  interfaces: [{name: eth0, addresses: [10.0.0.2/24]}]
`

// TestKeepMain changes the configuration of a running node, loses its data, and looks at what
// stayed on BOOT.
func TestKeepMain(t *testing.T) {
	n := newNode(t)
	n.put("config.yaml", string(config.WithSpace([]byte(first))))
	n.run()
	if err := n.Fits([]byte(second)); err != nil {
		t.Error(err)
	}
	if stale, err := n.Keep([]byte(second)); stale != nil || err != nil {
		t.Fatalf("got %v, %v, want nil", stale, err)
	}
	check := func(when, host, token string) {
		t.Helper()
		if c := n.merged(); c.Hostname != host || c.K3OS.Token != token || len(c.SSHAuthorizedKeys) != 2 {
			t.Errorf("%s: %q %q %q", when, c.Hostname, c.K3OS.Token, c.SSHAuthorizedKeys)
		}
	}
	check("at once", "node2", "K10another-token")
	if on := n.boot("config.yaml"); !strings.Contains(on, "node2") || strings.Contains(on, "another") || len(on) != 4096 {
		t.Errorf("BOOT has %d bytes:\n%s", len(on), on)
	}
	n.run()
	check("at the next boot", "node2", "K10another-token")
	// Editing the file on a laptop edits what is in force.
	n.put("config.yaml", strings.Replace(n.boot("config.yaml"), "node2", "node3", 1))
	n.run()
	check("edited on BOOT", "node3", "K10another-token")
	n.Store = t.TempDir()
	n.Overwrite = nil
	n.run()
	check("with its data lost", "node3", "")
	if stale, err := n.Keep([]byte(second)); stale == nil || err != nil {
		t.Errorf("without its data: %v %v", stale, err)
	}
}

// TestKeepLeavesBoot: what does not fit, or is not what the node took over, stays.
func TestKeepLeavesBoot(t *testing.T) {
	for name, prepare := range map[string]func(n *node){
		"no space":          func(n *node) { n.put("config.yaml", first); n.run() },
		"never taken over":  func(n *node) { n.put("config.yaml", "hostname: [\n"); n.Run() },
		"changed meanwhile": func(n *node) { n.put("config.yaml", first); n.run(); n.put("config.yaml", "hostname: other\n") },
		"nothing there":     func(n *node) {},
	} {
		n := newNode(t)
		prepare(n)
		was, writes := n.boot("config.yaml"), n.writes
		if err := n.Fits([]byte(second)); err == nil {
			t.Errorf("%s: a report before", name)
		}
		stale, err := n.Keep([]byte(second))
		if stale == nil || err != nil || !strings.Contains(stale.Error(), "settings from before") {
			t.Errorf("%s: %v %v", name, stale, err)
		}
		if n.boot("config.yaml") != was || n.writes != writes {
			t.Errorf("%s: BOOT was changed", name)
		}
		if c := n.merged(); c.Hostname != "node2" || c.K3OS.Token != "K10another-token" {
			t.Errorf("%s: the node has %q: got %q, want %q and %q", name, c.Hostname, c.K3OS.Token, "node2", "K10another-token")
		}
	}
}

// TestKeepPowerCut cuts the power after each sector that reaches BOOT, in either order, and boots
// again.
func TestKeepPowerCut(t *testing.T) {
	long := second + "# " + strings.Repeat("z", 1500) + "\n"
	sectors := func(b []byte) (list [][]byte) {
		for at := 0; at < len(b); at += sector {
			list = append(list, b[at:at+sector])
		}
		return list
	}
	for _, backwards := range []bool{false, true} {
		for written := 0; written <= 8; written++ {
			n := newNode(t)
			n.put("config.yaml", string(config.WithSpace([]byte(first))))
			n.run()
			whole := n.Overwrite
			n.Overwrite = func(name string, text []byte) error {
				now := sectors([]byte(n.boot(name)))
				for i, s := range sectors(text) {
					if backwards && len(now)-i <= written || !backwards && i < written {
						now[i] = s
					}
				}
				if err := os.WriteFile(filepath.Join(n.Boot, name), bytes.Join(now, nil), 0o600); err != nil {
					t.Fatal(err)
				}
				return errors.New("the power went")
			}
			if stale, err := n.Keep([]byte(long)); stale == nil || err != nil {
				t.Fatal(stale, err)
			}
			n.Overwrite = whole
			n.run()
			if c := n.merged(); c.Hostname != "node2" || c.K3OS.Token != "K10another-token" {
				t.Errorf("%d sectors: the node has %q %q, want %q and %q", written, c.Hostname, c.K3OS.Token, "node2", "K10another-token")
			}
			want, err := config.ForBoot([]byte(long), 4096)
			if on := n.boot("config.yaml"); err != nil || on != string(want) {
				t.Errorf("%d sectors: the next boot does not finish BOOT:\n%s", written, on)
			}
		}
	}
}
