package identity

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestMachineID(t *testing.T) {
	path := t.TempDir() + "/sub/machine-id"
	id, err := MachineID(path)
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`).MatchString(id) {
		t.Fatalf("%q %v", id, err)
	}
	if again, err := MachineID(path); again != id || err != nil {
		t.Errorf("the second boot gives %q, %v, want %v", again, err, id)
	}
	for _, damaged := range []string{"", "\x00\x00\x00", strings.Repeat("0", 32), strings.ToUpper(id)[:31] + "A", id[:20]} {
		os.Remove(path)
		os.WriteFile(path, []byte(damaged), 0o644)
		if got, err := MachineID(path); err != nil || !validID(got) {
			t.Errorf("%q: %q %v", damaged, got, err)
		}
	}
}

func TestHostKeys(t *testing.T) {
	dir := t.TempDir() + "/ssh"
	paths, err := HostKeys(dir)
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v: got %v, want length 2", paths, err)
	}
	before := map[string]string{}
	for _, p := range paths {
		data, _ := os.ReadFile(p)
		before[p] = string(data)
		signer, err := ssh.ParsePrivateKey(data)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		public, _ := os.ReadFile(p + ".pub")
		key, _, _, _, err := ssh.ParseAuthorizedKey(public)
		if err != nil || string(key.Marshal()) != string(signer.PublicKey().Marshal()) {
			t.Errorf("%s.pub does not belong to it: %v", p, err)
		}
		if st, _ := os.Stat(p); st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", p, st.Mode())
		}
	}
	os.WriteFile(paths[1], nil, 0o600) // what a power cut leaves of a file that was not synced
	if got, err := HostKeys(dir); err == nil || !strings.Contains(err.Error(), "kind ecdsa was damaged") || len(got) != 2 {
		t.Errorf("an empty key: %v %v", got, err)
	}
	if data, _ := os.ReadFile(paths[0]); string(data) != before[paths[0]] {
		t.Errorf("a good key was replaced: got %q, want %q", string(data), before[paths[0]])
	}
	if data, _ := os.ReadFile(paths[1]); len(data) == 0 {
		t.Error("an empty key was kept")
	}
	if got, err := HostKeys(dir); err != nil || len(got) != 2 {
		t.Errorf("at the boot after that: %v %v", got, err)
	}
}

// TestHostKeysOfAFailingCard flips one bit after another of a key: none may be left with which sshd
// sends what no client accepts.
func TestHostKeysOfAFailingCard(t *testing.T) {
	dir := t.TempDir()
	paths, err := HostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	was, err := ssh.ParsePrivateKey(whole)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 1
		if !usable(bad) {
			continue
		}
		// A key that is still accepted works, and is the node's own: the bit was in a comment or
		// the like.
		if is, err := ssh.ParsePrivateKey(bad); err != nil || string(is.PublicKey().Marshal()) != string(was.PublicKey().Marshal()) {
			t.Errorf("bit 0 of byte %d: another key passes", at)
		}
	}
}

func TestHostKeysWithoutSpace(t *testing.T) {
	dir := t.TempDir()
	paths, err := HostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(paths[1]), os.Remove(paths[1]+".pub"), os.Mkdir(paths[1]+".pub", 0o700)); err != nil { // nothing can be written there, even by root
		t.Fatal(err)
	}
	got, err := HostKeys(dir)
	if err == nil || len(got) != 1 || got[0] != paths[0] {
		t.Errorf("%v %v: the key that is whole must go on being used", got, err)
	}
}

// TestHostKeysKeepRSA: a key that a k3OS left is used only if it is one.
func TestHostKeysKeepRSA(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/ssh_host_rsa_key", []byte("no key"), 0o600)
	if paths, err := HostKeys(dir); err != nil || len(paths) != 2 {
		t.Errorf("a broken RSA key is used: %v %v, want length 2", paths, err)
	}
}

func TestHostname(t *testing.T) {
	path := t.TempDir() + "/hostname"
	mac := net.HardwareAddr{0xDC, 0xA6, 0x32, 0x0A, 0xB0, 0x01}
	if got, _ := Hostname(path, "node1", mac); got != "node1" {
		t.Errorf("configured: %q", got)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a configured name is kept, it would outlive the configuration")
	}
	if got, _ := Hostname(path, "", mac); got != "shelf-0ab001" {
		t.Errorf("generated: %q", got)
	}
	// Another card in another board: the name is the node's, not the board's.
	if got, _ := Hostname(path, "", net.HardwareAddr{1, 2, 3, 4, 5, 6}); got != "shelf-0ab001" {
		t.Errorf("kept: %q", got)
	}
	if got, _ := Hostname(t.TempDir()+"/h", "", nil); !regexp.MustCompile(`^shelf-[0-9a-f]{6}$`).MatchString(got) {
		t.Errorf("without a card: %q", got)
	}
}

func TestWiredMAC(t *testing.T) {
	sys := t.TempDir()
	for name, files := range map[string]string{"lo": "", "eth1": "device", "eth0": "device", "dummy0": "", "wlan0": "device phy80211"} {
		dir := filepath.Join(sys, "class/net", name)
		os.MkdirAll(dir, 0o755)
		for _, f := range strings.Fields(files) {
			os.Mkdir(filepath.Join(dir, f), 0o755)
		}
		os.WriteFile(dir+"/address", []byte("dc:a6:32:00:00:0"+name[len(name)-1:]+"\n"), 0o644)
	}
	if got := WiredMAC(sys).String(); got != "dc:a6:32:00:00:00" {
		t.Errorf("%s", got)
	}
	if got := WiredMAC(t.TempDir()); got != nil {
		t.Errorf("%s", got)
	}
}
