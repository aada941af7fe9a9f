package datadisk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var sampleUUID = []byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8}

const sampleText = "12345678-9abc-def0-0102-030405060708"

// Superblocks with what Probe reads of them.
func ext4(label string, clean bool) []byte {
	b := make([]byte, 4096)
	sb := b[1024:]
	le := binary.LittleEndian
	le.PutUint16(sb[0x38:], 0xEF53)
	le.PutUint32(sb[0x18:], 2)
	le.PutUint16(sb[0x36:], 0xFFFF)
	if clean {
		le.PutUint16(sb[0x3A:], 1)
	}
	copy(sb[0x68:], sampleUUID)
	copy(sb[0x78:0x88], label)
	return b
}

func xfs(label string) []byte {
	b := make([]byte, 512)
	copy(b, "XFSB")
	copy(b[32:], sampleUUID)
	copy(b[108:120], label)
	return b
}

func btrfs(label string) []byte {
	b := make([]byte, 64<<10+4096)
	copy(b[0x10040:], "_BHRfS_M")
	copy(b[0x10020:], sampleUUID)
	b[0x10088] = 2
	copy(b[0x1010b:], sampleUUID)
	copy(b[0x1012b:], label)
	return b
}

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want FS
	}{
		"ext4":       {ext4("k3sdata", true), FS{Type: "ext4", UUID: sampleText, Label: "k3sdata", Clean: true}},
		"dirty ext4": {ext4("sixteen-letters.", false), FS{Type: "ext4", UUID: sampleText, Label: "sixteen-letters."}},
		"xfs":        {xfs("twelveletter"), FS{Type: "xfs", UUID: sampleText, Label: "twelveletter", Clean: true}},
		"btrfs":      {btrfs("a longer label"), FS{Type: "btrfs", UUID: sampleText, Label: "a longer label", Clean: true, Devices: 2, Member: sampleText}},
		"nothing":    {make([]byte, 100000), FS{}},
		"empty":      {nil, FS{}},
	} {
		if got, err := Probe(bytes.NewReader(c.in)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	for _, seed := range [][]byte{ext4("a", true), xfs("b"), btrfs("c"), nil, []byte("XFSB")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := Probe(bytes.NewReader(b))
		if err != nil || (fs.Type == "") != (fs.UUID == "") || len(fs.Label) > 256 {
			t.Errorf("%+v, %v", fs, err)
		}
	})
}

// machine makes /sys/class/block and /dev of disks: name -> content; a name with a slash is a
// partition DISK/PART.
func machine(t *testing.T, disks map[string][]byte) (sys, dev string) {
	t.Helper()
	sys, dev = t.TempDir(), t.TempDir()
	put := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range disks {
		dir := filepath.Join(sys, "devices", name)
		base := filepath.Base(name)
		put(filepath.Join(dir, "size"), fmt.Sprintln(len(data)/512))
		if name != base {
			put(filepath.Join(dir, "partition"), "1\n")
			put(filepath.Join(dir, "uevent"), "DEVTYPE=partition\nPARTNAME=p-"+base+"\nPARTUUID=uuid-"+base+"\n")
		}
		link := filepath.Join(sys, "class/block", base)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		put(filepath.Join(dev, base), string(data))
	}
	return sys, dev
}

func TestFind(t *testing.T) {
	sys, dev := machine(t, map[string][]byte{
		"mmcblk0": make([]byte, 4096), "mmcblk0/mmcblk0p4": ext4("K3OS_STATE", true),
		"sda": make([]byte, 4096), "sda/sda1": ext4("k3sdata", true), "sdb": xfs("whole"), "sdc/sdc1": btrfs("twice"), "sdd/sdd1": btrfs("twice"),
		"loop0": ext4("k3sdata", true), "sr0": nil,
	})
	if err := os.Symlink(filepath.Join(dev, "sda1"), filepath.Join(dev, "usb-disk")); err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{
		"LABEL=k3sdata": "sda1", "LABEL=whole": "sdb", "PARTUUID=UUID-SDA1": "sda1", "PARTLABEL=p-sda1": "sda1", "/dev/sda1": "sda1",
		"/dev/usb-disk": "sda1", "/dev/sdb": "sdb", "/dev/sda": "sda",
		"/dev/disk/by-label/k3sdata": "sda1", "/dev/disk/by-partuuid/uuid-sda1": "sda1", "/dev/disk/by-uuid/" + sampleText: "are all", `/dev/disk/by-label/with\x20space`: "is not there",
		"LABEL=nobody": "is not there", "/dev/sdz": "is not there", "/dev/sr0": "is not there", "PARTUUID=": "is not there",
		"LABEL=twice": "are all LABEL=twice", "UUID=" + sampleText: "are all UUID=",
		"/dev/mmcblk0p4": "the disk that the node runs from", "LABEL=K3OS_STATE": "the disk that the node runs from", "/dev/mmcblk0": "the disk that the node runs from",
	} {
		got, err := find(sys, dev, "mmcblk0", spec)
		if strings.Contains(want, " ") {
			if err == nil || !strings.Contains(err.Error(), want) || IsAbsent(err) != (want == "is not there") {
				t.Errorf("%s: %v, %v", spec, got, err)
			}
		} else if err != nil || got.name != want || got.path != filepath.Join(dev, want) {
			t.Errorf("%s: %v, %v", spec, got, err)
		}
	}
}

func TestHasData(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"server/manifests", "agent/images"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if hasData(root) || hasData(root+"/none") {
		t.Error("manifests and images are not data")
	}
	if err := os.MkdirAll(filepath.Join(root, "server/db"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !hasData(root) {
		t.Error("a database is none")
	}
}

func TestEmpty(t *testing.T) {
	for names, want := range map[string]bool{
		"": true, "lost+found": true, "photos": false, "lost+found photos": false, "k3s": false, "k3s kubelet .shelf-moving": true, ".shelf-moving photos": false,
	} {
		root := t.TempDir()
		for _, n := range strings.Fields(names) {
			if err := os.Mkdir(filepath.Join(root, n), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := empty(root); err != nil || got != want {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
	if _, err := empty(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there is empty")
	}
}

func TestMarker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	if m, err := readMarker(path); m != nil || err != nil {
		t.Errorf("got %v, %v, want nil", m, err)
	}
	if err := writeMarker(path, Marker{"aa", "one"}); err != nil {
		t.Fatal(err)
	}
	if m, err := readMarker(path); err != nil || *m != (Marker{"aa", "one"}) {
		t.Error(m, err)
	}
	for _, bad := range []string{"", "{", "{}", "null", `{"id":""}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := readMarker(path); err == nil {
			t.Errorf("%q is a marker: %v", bad, m)
		}
	}
}

// Copies keep owners, modes and links, and leave behind what k3s makes again.
func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "k3s")
	for name, text := range map[string]string{"server/db/state.db": "rows", "server/token": "t", "storage/pv/file": "f", "agent/client-ca.crt": "c",
		"agent/containerd/big": "b", "data/abc/bin/k3s": "p"} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("token", filepath.Join(from, "server/node-token")); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"server/db/state.db": "rows", "storage/pv/file": "f", "agent/client-ca.crt": "c", "server/node-token": "t"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if st, err := os.Lstat(filepath.Join(to, "server/node-token")); err != nil || st.Mode().Type() != os.ModeSymlink {
		t.Error(st, err)
	}
	if st, err := os.Stat(filepath.Join(to, "server/token")); err != nil || st.Mode() != 0o600 {
		t.Error(st, err)
	}
	for _, name := range []string{"agent/containerd", "data"} {
		if _, err := os.Stat(filepath.Join(to, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
	if err := copyTree(t.Context(), from+"/none", to+"2"); err != nil {
		t.Error(err)
	}
}

// Old copies are put aside once; a second try, after a power cut, does not take them for something
// to replace.
func TestPutAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "k3s")
	if moved, err := putAside(dir); moved || err != nil {
		t.Error(moved, err)
	}
	if err := os.MkdirAll(dir+"/server", 0o755); err != nil {
		t.Fatal(err)
	}
	if moved, err := putAside(dir); !moved || err != nil {
		t.Fatal(moved, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil { // the mount point, made again
		t.Fatal(err)
	}
	if moved, err := putAside(dir); moved || err != nil {
		t.Error(moved, err)
	}
	if _, err := os.Stat(dir + before + "/server"); err != nil {
		t.Error("the old copy is gone:", err)
	}
}

// A question about the disk gets an answer while it is checked or filled, which can take an
// hour.
func TestStatusWhileBusy(t *testing.T) {
	d := &Disk{}
	d.work.Lock() // as Ready does
	defer d.work.Unlock()
	d.busy("LABEL=x", "/dev/sda1", "it is checked")
	if st := d.Status(); st.State != Busy || st.Detail != "it is checked" || !d.Alive() {
		t.Errorf("%+v", st)
	}
}
