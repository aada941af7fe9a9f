package sources

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"

	"aead.dev/minisign"
)

// Raspberry Pi Imager's files are imported like config.yaml, and config.yaml is above them.
func TestImager(t *testing.T) {
	n := newNode(t)
	n.put("user-data", "#cloud-config\nhostname: from-imager\ntimezone: Europe/Berlin\nusers:\n- name: pi\n  lock_passwd: false\n  plain_text_passwd: imager-secret\n  ssh_authorized_keys: [ssh-ed25519 AAAA me]\n")
	n.put("network-config", "version: 2\nwifis: {wlan0: {regulatory-domain: DE, access-points: {home: {password: wifi-secret}}}}\n")
	n.put("meta-data", "instance-id: 1\nlocal-hostname: meta\n")
	foreign := []string{"firstrun.sh", "rpi-preseed.toml", "custom.toml"}
	for _, name := range foreign {
		n.put(name, "hostname = 'other'\n")
	}
	problems, err := n.Run()
	for _, name := range foreign {
		if err != nil || !strings.Contains(fmt.Sprint(problems), name+": warning: this is for Raspberry Pi OS") {
			t.Errorf("%s is not reported: %v %v", name, problems, err)
		}
	}
	c := n.merged()
	if c.Hostname != "from-imager" || c.Time.Zone != "Europe/Berlin" || !config.Hashed(c.K3OS.Password) || c.Network.Country != "DE" || c.Network.WiFi[0].Passphrase != "wifi-secret" || len(c.SSHAuthorizedKeys) != 1 {
		t.Errorf("%+v", c)
	}
	for _, name := range []string{"user-data", "network-config"} {
		if strings.Contains(n.boot(name), "-secret") {
			t.Errorf("%s keeps a secret:\n%s", name, n.boot(name))
		}
	}
	n.put("config.yaml", "hostname: mine\n")
	n.run()
	if c := n.merged(); c.Hostname != "mine" || c.Time.Zone != "Europe/Berlin" || !config.Hashed(c.K3OS.Password) {
		t.Errorf("config.yaml next to it: %q %q", c.Hostname, c.K3OS.Password)
	}
}

// A part that is taken away takes its settings with it; BOOT without the directory, or without
// config.yaml, takes nothing.
func TestPartIsTakenAway(t *testing.T) {
	n := newNode(t)
	n.put("config.d/00-image.yaml", "shelf: {board: rpi4}\n")
	n.put("config.d/10-a.yaml", "hostname: a\n")
	n.put("config.d/20-b.yaml", "k3os: {labels: {b: c}}\n")
	os.MkdirAll(n.Store+"/config.d", 0o700)
	os.WriteFile(n.Store+"/config.d/30-restored.yaml", []byte("k3os: {token: from-a-backup}\n"), 0o600)
	n.run()
	os.Remove(n.Boot + "/config.d/10-a.yaml")
	os.Remove(n.Boot + "/config.d/00-image.yaml")
	n.run()
	if c := n.merged(); c.Hostname != "" || c.K3OS.Labels["b"] != "c" || c.K3OS.Token != "from-a-backup" || c.Shelf.Board != "rpi4" {
		t.Errorf("%q %v %q %q", c.Hostname, c.K3OS.Labels, c.K3OS.Token, c.Shelf.Board)
	}
	os.RemoveAll(n.Boot + "/config.d")
	n.run()
	if c := n.merged(); c.K3OS.Labels["b"] != "c" {
		t.Errorf("a lost directory costs a part: got %q, want %q", c.K3OS.Labels["b"], "c")
	}
}

func TestKeep(t *testing.T) {
	store := t.TempDir()
	keep := func(files map[string][]byte) (bool, error) { return Keep(store, "https://h/x", files) }
	first := map[string][]byte{"user-data": []byte("hostname: a\nk3os: {password: clear-text}\n"), "meta-data": []byte("local-hostname: m\n")}
	for i, want := range []bool{true, false} {
		if changed, err := keep(first); err != nil || changed != want {
			t.Errorf("time %d: %v %v, want %v", i, changed, err, want)
		}
	}
	if got := string(Kept(store, "https://h/x", "user-data")); strings.Contains(got, "clear-text") || !strings.Contains(got, "$6$") {
		t.Errorf("kept:\n%s", got)
	}
	if _, err := keep(map[string][]byte{"user-data": []byte("hostname: [")}); fault.Code(err) != int(fault.Input) {
		t.Errorf("a broken answer: %v, want code %v", err, int(fault.Input))
	}
	if !strings.Contains(string(Kept(store, "https://h/x", "user-data")), "hostname: a") || !Has(store, "https://h/x") {
		t.Error("a broken answer costs what was kept")
	}
	if changed, err := keep(map[string][]byte{"user-data": []byte("hostname: b\n")}); err != nil || !changed || Kept(store, "https://h/x", "meta-data") != nil {
		t.Errorf("%v %v", changed, err)
	}
	sum := sha256.Sum256([]byte("hostname: b\n"))
	if !Matches(store, "https://h/x", sum[:]) || Matches(store, "https://h/x", make([]byte, 32)) || Matches(store, "other", sum[:]) {
		t.Error("the hash of what is kept is not known")
	}
	Keep(store, "github:me", map[string][]byte{KeysFile: []byte("ssh-ed25519 AAAA me\n")})
	if err := Forget(store, []string{"github:me"}); err != nil || Has(store, "https://h/x") || Kept(store, "github:me", KeysFile) == nil {
		t.Errorf("forget: %v", err)
	}
}

func TestFetch(t *testing.T) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	other, _, _ := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("hostname: a\n")
	sum := sha256.Sum256(body)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/x":
			w.Write(body)
		case "/x.minisig":
			w.Write(minisign.Sign(private, body))
		case "/odd":
			w.Write(body)
		case "/odd.minisig":
			w.Write([]byte("untrusted comment: x\nAAAA\n"))
		case "/large":
			w.Write(make([]byte, config.MaxSize+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for _, f := range []struct {
		s    config.DataSource
		want string
	}{
		{config.DataSource{URL: "/x", SHA256: sum[:]}, ""},
		{config.DataSource{URL: "/x", Key: &public}, ""},
		{config.DataSource{URL: "/x", Key: &other}, "is not by the key"},
		{config.DataSource{URL: "/odd", Key: &public}, "is not by the key"},
		{config.DataSource{URL: "/x", SHA256: make([]byte, 32)}, "has the sha256 " + fmt.Sprintf("%x", sum)},
		{config.DataSource{URL: "/x"}, "there is no hash or key"},
		{config.DataSource{URL: "/none", SHA256: sum[:]}, "404"},
		{config.DataSource{URL: "/large", SHA256: sum[:]}, "more than"},
	} {
		f.s.URL = server.URL + f.s.URL
		data, err := Fetch(context.Background(), server.Client(), f.s)
		if f.want == "" && (err != nil || string(data) != string(body)) || f.want != "" && (err == nil || data != nil || !strings.Contains(err.Error(), f.want)) {
			t.Errorf("%+v: %q, %v; want %q", f.s, data, err, f.want)
		}
	}
}

// iso is enough of an ISO 9660 volume to show its name.
func iso(label string) []byte {
	b := make([]byte, 20*2048)
	copy(b[16*2048:], "\x01CD001\x01")
	copy(b[16*2048+40:], label+strings.Repeat(" ", 32-len(label)))
	return b
}

// fat is a FAT12 volume with one file in its root directory.
func fat(label, name, text string) []byte {
	b := make([]byte, 64*512)
	le := binary.LittleEndian
	le.PutUint16(b[11:], 512)
	b[13], b[16], b[21], b[510], b[511] = 1, 1, 0xF8, 0x55, 0xAA
	le.PutUint16(b[14:], 1)
	le.PutUint16(b[17:], 16)
	le.PutUint16(b[19:], 64)
	le.PutUint16(b[22:], 1)
	copy(b[512:], "\xf8\xff\xff\xff\x0f")
	root := b[1024:]
	copy(root, label+strings.Repeat(" ", 11-len(label)))
	root[11] = 0x08
	copy(root[32:], name)
	le.PutUint16(root[32+26:], 2)
	le.PutUint32(root[32+28:], uint32(len(text)))
	copy(b[1536:], text)
	return b
}

func TestProber(t *testing.T) {
	root := t.TempDir()
	disc := t.TempDir()
	os.WriteFile(disc+"/user-data", []byte("hostname: iso\n"), 0o644)
	p := Prober{Sys: root + "/sys", Dev: root + "/dev", Mount: func(string) (string, func(), error) { return disc, func() {}, nil }}
	put := func(name string, data []byte) {
		os.MkdirAll(filepath.Join(p.Sys, "class/block", name), 0o755)
		os.MkdirAll(p.Dev, 0o755)
		os.WriteFile(filepath.Join(p.Dev, name), data, 0o644)
	}
	put("sda", make([]byte, 4096))
	put("sda1", fat("BOOT", "CONFIG     ", "hostname: other\n"))
	put("sdb1", nil)
	if files, _, err := p.Read(); files != nil || err != nil {
		t.Errorf("found %v, %v, want nil", files, err)
	}
	put("sr0", iso("cidata"))
	if files, device, err := p.Read(); err != nil || string(files["user-data"]) != "hostname: iso\n" || filepath.Base(device) != "sr0" {
		t.Errorf("%v %s %v", files, device, err)
	}
	put("sdc", fat("CIDATA", "CONFIG     ", "hostname: fat\n"))
	if files, device, err := p.Read(); err != nil || string(files["user-data"]) != "hostname: fat\n" || filepath.Base(device) != "sdc" {
		t.Errorf("%v %s %v", files, device, err)
	}
	put("sdc", fat("CIDATA", "README     ", "x"))
	if _, _, err := p.Read(); fault.Code(err) != int(fault.Input) {
		t.Errorf("an empty stick: %v, want code %v", err, int(fault.Input))
	}
}
