package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/disk"
	"imgbuild/init/storage/disks"
)

// dev is a disk with a serial number.
func dev(name, serial string, fs disk.FS) disks.Device {
	return disks.Device{Name: name, Disk: name, Path: "/dev/" + name, Serials: []string{serial}, FS: fs, Bytes: 1 << 30}
}

func TestCandidate(t *testing.T) {
	btrfs := disk.FS{Type: "btrfs", UUID: "u1", Label: "old", Devices: 1}
	pair, kept, empty := btrfs, dev("sdb", "B", btrfs), dev("sdb", "B", disk.FS{})
	pair.Devices, kept.Kept = 2, "is in use at /srv/data"
	blank := empty
	blank.Blank = true
	for name, c := range map[string]struct {
		spec   string
		format bool
		list   []disks.Device
		makes  bool
		want   string // part of the error; empty for none
	}{
		"by serial":           {"SERIAL=B", false, []disks.Device{dev("sda", "A", btrfs), dev("sdb", "B", btrfs)}, false, ""},
		"by UUID":             {"UUID=U1", false, []disks.Device{dev("sdb", "B", btrfs)}, false, ""},
		"by label":            {"LABEL=old", true, []disks.Device{dev("sdb", "B", btrfs)}, false, ""},
		"not there":           {"SERIAL=C", false, []disks.Device{dev("sdb", "B", btrfs)}, false, "is not there"},
		"two":                 {"UUID=u1", false, []disks.Device{dev("sda", "A", btrfs), dev("sdb", "B", btrfs)}, false, "several disks"},
		"in use":              {"SERIAL=B", true, []disks.Device{kept}, false, "is in use at /srv/data"},
		"half of a pair":      {"SERIAL=B", false, []disks.Device{dev("sdb", "B", pair)}, false, "on several disks"},
		"ext4":                {"SERIAL=B", true, []disks.Device{dev("sdb", "B", disk.FS{Type: "ext4", UUID: "u"})}, false, "no btrfs file system"},
		"blank":               {"SERIAL=B", true, []disks.Device{blank}, true, ""},
		"blank, not asked":    {"SERIAL=B", false, []disks.Device{blank}, false, "add format=yes"},
		"something is there":  {"SERIAL=B", true, []disks.Device{empty}, false, "not blank; nothing was touched"},
		"blank, by its by-id": {"/dev/disk/by-id/usb-X_B", true, []disks.Device{blank}, false, "only a disk that is named by its serial number"},
	} {
		d, makes, err := candidate(c.spec, c.format, c.list)
		if c.want == "" && (err != nil || makes != c.makes || d.Name != "sdb") || c.want != "" && (err == nil || makes || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, %v, %v, want %v, %q", name, d.Name, makes, err, c.makes, c.want)
		}
	}
}

// Only the disk that was enrolled is taken, and no copy of it.
func TestFind(t *testing.T) {
	fs := disk.FS{Type: "btrfs", UUID: "u1"}
	p := Place{UUID: "U1", Serial: "B"}
	kept := dev("sdb", "B", fs)
	kept.Kept = "is in use at /mnt"
	for name, c := range map[string]struct {
		list []disks.Device
		want fault.Kind // 0: it is found
	}{
		"there": {[]disks.Device{dev("sda", "A", disk.FS{Type: "btrfs", UUID: "u2"}), dev("sdb", "B", fs)}, 0}, "away": {nil, fault.Device},
		"a copy": {[]disks.Device{dev("sdc", "C", fs)}, fault.Input}, "with a copy": {[]disks.Device{dev("sdb", "B", fs), dev("sdc", "C", fs)}, fault.Input},
		"in use": {[]disks.Device{kept}, fault.Input}, "overwritten": {[]disks.Device{dev("sdb", "B", disk.FS{Type: "ext4", UUID: "u1"})}, fault.Device},
	} {
		if d, err := find(p, "stick", c.list); c.want == 0 && (err != nil || d.Name != "sdb") || c.want != 0 && fault.Code(err) != int(c.want) {
			t.Errorf("%s: got %v, %v, want %v", name, d.Name, err, c.want)
		}
	}
}

func TestPick(t *testing.T) {
	v := func(node, share string, n int) Version {
		return Version{node, share, day(n).Name, noon.AddDate(0, 0, n)}
	}
	list := []Version{v("nas-1", "photos", 1), v("nas-1", "photos", 2), v("nas-2", "photos", 3), v("nas-2", "music", 1)}
	for _, c := range []struct {
		name, node, own, share string
		at                     time.Time
		want                   Version
		kind                   fault.Kind
	}{
		{"ours", "", "nas-1", "photos", time.Time{}, list[1], 0},
		{"the only one's", "", "", "music", time.Time{}, list[3], 0},
		{"which?", "", "", "photos", time.Time{}, Version{}, fault.Usage},
		{"another's", "nas-2", "nas-1", "photos", time.Time{}, list[2], 0},
		{"of a day", "", "nas-1", "photos", noon.AddDate(0, 0, 1), list[0], 0},
		{"before the first", "", "nas-1", "photos", noon, Version{}, fault.Input},
		{"unknown", "", "nas-1", "films", time.Time{}, Version{}, fault.Input},
	} {
		got, err := Pick(list, c.node, c.own, c.share, c.at)
		if c.kind == 0 && (err != nil || got != c.want) || c.kind != 0 && fault.Code(err) != int(c.kind) {
			t.Errorf("%s: got %v, %v, want %v, %v", c.name, got, err, c.want, c.kind)
		}
	}
}

// Either end of a transfer may fail, early or late: there is one error, and nobody waits.
func TestTransfer(t *testing.T) {
	torn, full := errors.New("torn"), errors.New("full")
	write := func(n int, end error) func(io.Writer) error {
		return func(w io.Writer) error {
			for range n {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return err
				}
			}
			return end
		}
	}
	read := func(n int64, end error) func(io.Reader) error {
		return func(r io.Reader) error {
			if _, err := io.Copy(io.Discard, io.LimitReader(r, n)); err != nil {
				return err
			}
			return end
		}
	}
	for name, c := range map[string]struct {
		from func(io.Writer) error
		to   func(io.Reader) error
		want error
		n    int64
	}{
		"whole":              {write(5, nil), read(1<<30, nil), nil, 5000},
		"empty":              {write(0, nil), read(1<<30, nil), nil, 0},
		"the sender fails":   {write(3, torn), read(1<<30, nil), torn, 3000},
		"the receiver fails": {write(1<<20, nil), read(2000, full), full, -1},
		"at once":            {write(1<<20, nil), read(0, full), full, -1},
	} {
		if n, err := transfer(c.from, c.to); !errors.Is(err, c.want) || c.n >= 0 && n != c.n {
			t.Errorf("%s: got %d, %v, want %d, %v", name, n, err, c.n, c.want)
		}
	}
}

// A disk that comes is read once; one that comes again under its name is another attachment.
func TestAttached(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	put := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	image := make([]byte, 70<<10)
	copy(image[0x10040:], "_BHRfS_M")
	image[0x10020] = 0xab
	const uuid = "ab000000-0000-0000-0000-000000000000"
	put(filepath.Join(dev, "sda"), string(image))
	put(filepath.Join(dev, "sdb1"), "text")
	put(filepath.Join(sys, "class/block/sda/diskseq"), "7\n")
	put(filepath.Join(sys, "devices/sdb/diskseq"), "9\n")
	put(filepath.Join(sys, "devices/sdb/sdb1/partition"), "1\n")
	if err := os.Symlink(filepath.Join(sys, "devices/sdb/sdb1"), filepath.Join(sys, "class/block/sdb1")); err != nil {
		t.Fatal(err)
	}
	first, err := attached(sys, dev, nil)
	if err != nil || len(first) != 2 || first["sda 7"] != uuid || first["sdb1 9"] != "" {
		t.Fatalf("got %v, %v", first, err)
	}
	put(filepath.Join(dev, "sda"), "wiped")
	if got, err := attached(sys, dev, first); err != nil || got["sda 7"] != uuid {
		t.Errorf("a disk that is known was read again: %v, %v", got, err)
	}
	put(filepath.Join(sys, "class/block/sda/diskseq"), "8\n")
	got, err := attached(sys, dev, first)
	if _, old := got["sda 7"]; err != nil || old || !slices.Contains([]string{""}, got["sda 8"]) {
		t.Errorf("after it came again: %v, %v", got, err)
	}
}

func TestState(t *testing.T) {
	own := t.TempDir()
	if s, err := Load(own); err != nil || s.ID != "" || len(s.Places) != 0 {
		t.Errorf("nothing: got %+v, %v", s, err)
	}
	s := State{ID: newID("NAS")}.with("a", func(p *Place) { p.UUID, p.Good, p.Bases = "u", noon, map[string]string{"photos": "s1"} })
	s = s.with("b", func(p *Place) { p.Bases = map[string]string{"photos": "s2"} })
	if err := s.save(own); err != nil {
		t.Fatal(err)
	}
	got, err := Load(own)
	if err != nil || got.ID != s.ID || !strings.HasPrefix(s.ID, "nas-") || !got.Places["a"].Good.Equal(noon) || !slices.Equal(got.Bases("photos"), []string{"s1", "s2"}) || got.Bases("music") != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, s)
	}
	if err := os.WriteFile(filepath.Join(own, ownDir, stateName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(own); fault.Code(err) != int(fault.Device) {
		t.Errorf("damaged: got %v, want a device error", err)
	}
}
