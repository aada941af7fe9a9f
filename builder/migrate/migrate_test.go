package migrate

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"

	"github.com/klauspost/compress/zstd"
)

// content reads an archive: lines by name.

func content(t testing.TB, name string) (archive.Header, map[string]string) {
	t.Helper()
	all := map[string]string{}
	var head archive.Header
	err := archive.ReadFile(name, func(h archive.Header) error { head = h; return nil }, func(h *tar.Header, r io.Reader) error {
		data, err := io.ReadAll(r)
		all[h.Name] = fmt.Sprintf("%c %o %d:%d %s%s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Linkname, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return head, all
}

func run(t testing.TB, o Options) (*Report, error) {
	t.Helper()
	if o.Out == "" {
		o.Out = filepath.Join(t.TempDir(), "node1.tar")
	}
	if o.K3s == "" {
		o.K3s = "v1.35.0+k3s1"
	}
	o.Now = time.Unix(1790000000, 0)
	r, err := Run(context.Background(), o)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Out), ".*")); left != nil {
		t.Errorf("left behind: %v, want nil", left)
	}
	if _, statErr := os.Stat(o.Out); err != nil && statErr == nil {
		t.Error("a failure has left an archive")
	}
	return r, err
}

const (
	k3os = "k3os/data/var/lib/rancher/k3os/"
	k3s  = "k3os/data/var/lib/rancher/k3s/"
)

// TestFull takes everything off a picl card, twice: the archive has what the node needs, with its
// owners, and nobody else's secrets.

func TestFull(t *testing.T) {
	t.Parallel()
	f := piclServer(t)
	img := piclCard(t, fileSystem(t, "root", f, "sif /k3os/data/home/rancher/notes uid 1000", "sif /k3os/data/home/rancher/notes gid 1000",
		"sif /"+k3s+"storage/pvc-1_default_claim/file uid 70000", "sif /"+k3s+"server/token mode 0100640",
		"ln /"+k3s+"storage/pvc-1_default_claim/file /"+k3s+"storage/pvc-1_default_claim/zweiter", "sif /"+k3s+"storage/pvc-1_default_claim/file links_count 2",
		"cd /"+k3s+"storage", "mknod device b 8 0", "cd /"+k3s+"server", "mknod kine.sock p"))
	out := filepath.Join(t.TempDir(), "node1.tar")
	r, err := run(t, Options{Source: img, Out: out, Mode: Full})
	if err != nil {
		t.Fatal(err)
	}
	h, got := content(t, out)
	if h.Kind != archive.Migrate || h.Hostname != "pi-server" || h.Role != "server" || h.K3s != "v1.34.2+k3s1" || h.From != "picl card, partition 2" {
		t.Errorf("%+v", h)
	}
	if want := []string{archive.Identity, archive.Config, archive.K3s, archive.Datastore, archive.Volumes, archive.Home}; !slices.Equal(h.Contents, want) {
		t.Errorf("contents %v", h.Contents)
	}
	uid, gid := os.Getuid(), os.Getgid()
	plain := fmt.Sprintf("0 600 %d:%d ", uid, gid)
	for name, want := range map[string]string{
		k3os + "hostname":                                       plain + "k3os-12345\n",
		k3os + "node/password":                                  plain + "node-password",
		k3os + "node/id":                                        plain + "8a7f",
		k3os + "ssh/ssh_host_ed25519_key":                       plain + f[k3os+"ssh/ssh_host_ed25519_key"],
		k3os + "config.yaml":                                    plain + "k3os: {labels: {local: 'yes'}}\n",
		k3os + "config.d/x.txt":                                 plain + "run_cmd: [echo hi]\n",
		"k3os/config/system.yaml":                               "0 600 0:0 " + f["k3os/system/config/dc:a6:32:01:02:03.yaml"],
		"k3os/data/var/lib/shelf/machine-id":                    "0 444 0:0 " + id + "\n",
		k3s + "server/db/state.db":                              plain + f[k3s+"server/db/state.db"],
		k3s + "server/db/state.db-wal":                          plain + "wal",
		k3s + "server/token":                                    fmt.Sprintf("0 640 %d:%d K10geheim", uid, gid),
		k3s + "server/manifests/mine.yaml":                      plain + "kind: X\n",
		k3s + "agent/client-ca.crt":                             plain + "ca",
		k3s + "storage/pvc-1_default_claim/file":                fmt.Sprintf("0 600 70000:%d volume", gid),
		k3s + "storage/pvc-1_default_claim/zweiter":             "1 0 0:0 " + k3s + "storage/pvc-1_default_claim/file",
		k3s + "storage/pvc-1_default_claim/link":                fmt.Sprintf("2 777 %d:%d /etc/passwd", uid, gid),
		"k3os/data/home/rancher/notes":                          "0 600 1000:1000 notes",
		"k3os/data/var/lib/mydb/rows":                           plain + "host path",
		"k3os/data/opt/x":                                       plain + "x",
		k3os + "ssh/sshd_config":                                "",
		k3os + "ssh/ssh_host_dsa_key":                           "",
		k3s + "server/kine.sock":                                "",
		k3s + "server/manifests/system-upgrade-plans":           "",
		k3s + "agent/containerd":                                "",
		k3s + "data":                                            "",
		"k3os/data/home/rancher/.ssh/authorized_keys":           "",
		"k3os/data/var/lib/longhorn":                            "",
		"k3os/data/var/lib/kubelet":                             "",
		"k3os/data/var/lib/connman":                             "",
		"k3os/data/var/log":                                     "",
		"k3os/data/usr":                                         "",
		"k3os/system/config/dc:a6:32:ff:ff:ff.yaml":             "",
		k3s + "server/manifests/system-upgrade-controller.yaml": "",
	} {
		if got[name] != want {
			t.Errorf("%s: %.90q, want %.90q", name, got[name], want)
		}
	}
	data, _ := os.ReadFile(out)
	for _, secret := range []string{"ANOTHERS-TOKEN", "ssh-rsa OLD"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%q has left the card", secret)
		}
	}
	// connman's settings are now a configuration that the node understands.
	layer, problems := config.Parse("connman", []byte(strings.TrimPrefix(got["k3os/config/config.d/10-connman.yaml"], "0 600 0:0 ")))
	c, more := config.Merge(layer)
	for _, p := range append(problems, more...) {
		t.Errorf("%s", p)
	}
	if i := c.Network.Interfaces; len(i) != 1 || i[0].Name != "auto" || i[0].DHCP || !slices.Equal(i[0].Addresses, []string{"192.168.7.5/24"}) ||
		i[0].Gateway != "192.168.7.1" || !slices.Equal(i[0].DNS, []string{"192.168.7.1", "9.9.9.9"}) || !slices.Equal(i[0].Search, []string{"lan"}) {
		t.Errorf("interfaces %+v", i)
	}
	if w := c.Network.WiFi; len(w) != 1 || w[0] != (config.WiFi{Name: "home", Passphrase: "correct horse"}) {
		t.Errorf("wifi %+v", w)
	}
	report := fmt.Sprint(*r)
	for _, want := range []string{"sshd_config", "longhorn", "iscsid", "k3os-system", "/var/local/bin/tool", "musl", "containerd", "a device", "imgbuild board=BOARD role=server import=", "k3os.io/mode-"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not speak of %q", want)
		}
	}
	if strings.Contains(report, "sealed-secrets") {
		t.Error("full mode keeps the sealed-secrets key and warns of it")
	}
	again := filepath.Join(t.TempDir(), "again.tar")
	if _, err := run(t, Options{Source: img, Out: again, Mode: Full}); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(again); !bytes.Equal(b, data) {
		t.Error("twice the same card is not the same archive")
	}
}

// TestFresh takes name, keys and configuration, from every form a card can have.

func TestFresh(t *testing.T) {
	t.Parallel()
	part := fileSystem(t, "K3OS_STATE", with(server(t), files{"k3os/system/k3s/v1.34.2-k3s1/k3s": "x"}))
	packed := filepath.Join(t.TempDir(), "card.img.zst")
	whole, err := os.ReadFile(piclCard(t, part))
	if err != nil {
		t.Fatal(err)
	}
	enc, _ := zstd.NewWriter(nil)
	small := enc.EncodeAll(whole, nil)
	if err := os.WriteFile(packed, small, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, img := range map[string]string{"partition": part, "MBR": piclCard(t, part), "GPT": gptCard(t, part, false), "GPT's copy": gptCard(t, part, true), "zst": packed} {
		out := filepath.Join(t.TempDir(), "node1.tar.zst")
		r, err := run(t, Options{Source: img, Out: out, Mode: Fresh})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		h, got := content(t, out)
		if h.K3s != "" || !slices.Equal(h.Contents, []string{archive.Identity, archive.Config}) || !strings.HasPrefix(h.From, "k3OS card") {
			t.Errorf("%s: %+v", name, h)
		}
		if got[k3os+"node/password"] == "" || got["k3os/config/system.yaml"] == "" {
			t.Errorf("%s: identity is missing", name)
		}
		for n := range got {
			if strings.HasPrefix(n, strings.TrimSuffix(k3s, "/")) || strings.Contains(n, "home") {
				t.Errorf("%s: %s is taken", name, n)
			}
		}
		if report := fmt.Sprint(*r); !strings.Contains(report, "sealedsecrets.bitnami.com/sealed-secrets-key -o yaml") {
			t.Errorf("%s: no word of the sealed-secrets key", name)
		}
	}
	cut := filepath.Join(t.TempDir(), "cut.zst")
	os.WriteFile(cut, small[:len(small)/2], 0o600)
	if _, err := run(t, Options{Source: cut, Mode: Fresh}); fault.Code(err) != int(fault.Input) {
		t.Errorf("half an image: %v, want code %v", err, int(fault.Input))
	}
}

// TestOwnNode wants a card with several configurations to give one, and only when it is known
// which.

func TestOwnNode(t *testing.T) {
	t.Parallel()
	f := piclServer(t)
	delete(f, "k3os/system/config.yaml") // never booted
	img := fileSystem(t, "root", f)
	if _, err := run(t, Options{Source: img, Mode: Fresh}); fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), "mac=") {
		t.Errorf("which one: %v", err)
	}
	for _, o := range []Options{{MAC: "DC-A6-32-FF-FF-FF"}, {Config: "dc:a6:32:ff:ff:ff.yaml"}} {
		o.Source, o.Mode, o.Out = img, Fresh, filepath.Join(t.TempDir(), "x.tar")
		r, err := run(t, o)
		if err != nil || r.Hostname != "other" {
			t.Errorf("%+v: %+v %v", o, r, err)
			continue
		}
		if data, _ := os.ReadFile(o.Out); !bytes.Contains(data, []byte("ANOTHERS-TOKEN")) || bytes.Contains(data, []byte("geheim")) {
			t.Errorf("%+v: not the one node's configuration", o)
		}
	}
	for _, o := range []Options{{MAC: "dc:a6:32:00:00:00"}, {MAC: "x"}, {Config: "../config.yaml"}, {Config: "nope"}} {
		o.Source, o.Mode = img, Fresh
		if _, err := run(t, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestRefusals: what goes wrong has an exit code and a way out.

func TestRefusals(t *testing.T) {
	t.Parallel()
	base := server(t)
	old := fileSystem(t, "K3OS_STATE", with(base, files{"k3os/system/k3s/current": "-> v1.22.2-k3s1", "k3os/system/k3s/v1.22.2-k3s1/k3s": "x"}))
	unknown := fileSystem(t, "K3OS_STATE", with(base, files{"k3os/system/k3s/current": "-> nowhere"}))
	unknownOnly := with(base, files{})
	delete(unknownOnly, "k3os/system/k3s/v1.34.2-k3s1/k3s")
	delete(unknownOnly, "k3os/system/k3s/current")
	none := fileSystem(t, "K3OS_STATE", unknownOnly)
	binary := fileSystem(t, "K3OS_STATE", with(unknownOnly, files{"k3os/system/k3s/current/k3s": strings.Repeat("x", 3<<20) + "go v1.23.17+k3s1 z"}))
	ours := fileSystem(t, "K3OS_STATE", files{"k3os/config/system.yaml": "hostname: x\n", "k3os/data/var/x": "y"})
	circle := fileSystem(t, "root", base, "ln /k3os/data /"+k3s+"server/round")
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, bytes.Repeat([]byte("text\n"), 1000), 0o600)
	for _, c := range []struct {
		name string
		o    Options
		kind fault.Kind
		says string
	}{
		{"jump", Options{Source: old, Mode: Full}, fault.Input, "v1.23, v1.24, v1.25, v1.26, v1.27, v1.28, v1.29, v1.30, v1.31, v1.32, v1.33, v1.34"},
		{"back", Options{Source: old, Mode: Full, K3s: "v1.21.14+k3s1"}, fault.Input, "never moves back"},
		{"binary", Options{Source: binary, Mode: Full}, fault.Input, "k3s v1.23.17+k3s1"},
		{"version not known", Options{Source: none, Mode: Full}, fault.Input, "from="},
		{"not a card", Options{Source: text, Mode: Full}, fault.Input, "no k3OS or picl"},
		{"missing", Options{Source: "/nope", Mode: Full}, fault.Input, "/dev/sdb"},
		{"directory", Options{Source: t.TempDir(), Mode: Full}, fault.Input, "is a directory"},
		{"ours", Options{Source: ours, Mode: Full}, fault.Input, "ShelfOS"},
		{"mode", Options{Source: old, Mode: "half"}, fault.Usage, "mode=fresh"},
		{"round", Options{Source: circle, Mode: Full}, fault.Device, "damaged"},
		{"spoilt", Options{Source: spoil(t, unknown, "ssh_host_dsa_key"), Mode: Fresh}, fault.Device, "e2fsck"},
		{"place", Options{Source: unknown, Mode: Fresh, Out: "/nope/x.tar"}, fault.Device, "/nope"},
	} {
		_, err := run(t, c.o)
		if fault.Code(err) != int(c.kind) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %d %v", c.name, fault.Code(err), err)
		}
	}
	for _, o := range []Options{{Source: old, Mode: Full, K3s: "v1.23.17+k3s1"}, {Source: none, Mode: Full, From: "v1.34.2+k3s1"}, {Source: old, Mode: Fresh}, {Source: unknown, Mode: Full}} {
		if _, err := run(t, o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Run(ctx, Options{Source: unknown, Mode: Fresh, Out: filepath.Join(t.TempDir(), "x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestWorker wants a worker's role and leaves a server's data of earlier days.

func TestWorker(t *testing.T) {
	t.Parallel()
	img := fileSystem(t, "K3OS_STATE", with(server(t), files{"k3os/system/config.yaml": "k3os: {server_url: 'https://pi-server:6443', token: t}\n",
		"k3os/system/k3s/current": "-> v1.22.2-k3s1", "k3os/system/k3s/v1.22.2-k3s1/k3s": "x"}))
	out := filepath.Join(t.TempDir(), "w.tar")
	r, err := run(t, Options{Source: img, Out: out, Mode: Full}) // an agent has no datastore that a jump could break
	if err != nil {
		t.Fatal(err)
	}
	_, got := content(t, out)
	if r.Role != "worker" || r.Hostname != "k3os-12345" || got[k3s+"server/token"] != "" || got[k3s+"agent/client-ca.crt"] == "" {
		t.Errorf("%+v", r)
	}
}

// TestElsewhere: k3s' data that people had moved to another disk are not on the card, and that is
// reported before an empty cluster starts.

// TestSudo: the archive of a card that was read under sudo belongs to the user who ran sudo. Run by
// somebody else it stays theirs.

// TestSeveral: of several systems on a card the one is taken that k3OS would have booted, and none
// by guessing.
