package disks

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/disk"
)

const (
	uuidA = "aaaaaaaa-0000-0000-0000-000000000001"
	uuidB = "bbbbbbbb-0000-0000-0000-000000000002"
)

func dev(name, serial string, fs disk.FS) Device {
	return Device{Name: name, Disk: name, Path: "/dev/" + name, Bytes: 1 << 30, Serials: []string{serial}, FS: fs}
}

func btrfs(uuid string) disk.FS {
	return disk.FS{Type: "btrfs", UUID: uuid, Label: "media", Clean: true, Devices: 1, Member: "m" + uuid}
}

// states are what one place of the machine can hold.
var states = map[string]func(name string) []Device{
	"absent": func(string) []Device { return nil },
	"late":   func(string) []Device { return nil }, // the same to a decision; the caller waits for it
	"blank":  func(n string) []Device { d := dev(n, "S-"+n, disk.FS{}); d.Blank = true; return []Device{d} },
	"one":    func(n string) []Device { return []Device{dev(n, "S-1", btrfs(uuidA))} },
	"two":    func(n string) []Device { return []Device{dev(n, "S-2", btrfs(uuidB))} },
	"stale":  func(n string) []Device { return []Device{dev(n, "S-copy", btrfs(uuidA))} }, // a copy of one
	"foreign": func(n string) []Device {
		return []Device{dev(n, "S-"+n, disk.FS{Type: "xfs", UUID: uuidB, Label: "media"})}
	},
	"files": func(n string) []Device { return []Device{dev(n, "S-"+n, disk.FS{})} }, // not blank, nothing known on it
	"boot": func(n string) []Device {
		d := dev(n, "S-"+n, btrfs(uuidB))
		d.Kept = "is the disk that the node runs from"
		return []Device{d}
	},
	"parted": func(n string) []Device {
		d, p := dev(n, "S-p", disk.FS{}), dev(n+"1", "S-p", disk.FS{Type: "ext4", UUID: uuidB, Label: "media"})
		d.Parts, p.Disk = 1, n
		return []Device{d, p}
	},
}

// Over all pairs of what two places hold, all ways to name a disk, and a node that knows a disk or
// does not: what must never happen does not.
func TestDecideAllPairs(t *testing.T) {
	specs := []config.StorageDisk{
		{Name: "data", Device: "auto"}, {Name: "data", Device: "LABEL=media"}, {Name: "data", Device: "UUID=" + uuidA}, {Name: "data", Device: "SERIAL=S-1"},
		{Name: "data", Device: "SERIAL=S-x", Format: true}, {Name: "data", Device: "/dev/disk/by-id/virtio-S-y", Format: true}, {Name: "data", Device: "auto", Format: true},
	}
	seen := map[Action]int{}
	for a, left := range states {
		for b, right := range states {
			list := append(left("x"), right("y")...)
			for _, spec := range specs {
				for _, known := range []*Known{nil, {UUID: uuidA, Serial: "S-1"}, {UUID: uuidA}} {
					at := fmt.Sprintf("%s and %s, %+v, known %v", a, b, spec, known)
					what, d, err := Decide(spec, known, list)
					seen[what]++
					if (what == Refuse) != (err != nil) {
						t.Fatalf("%s: %v without a reason, or one with: %v", at, what, err)
					}
					if what != Refuse && d.Kept != "" {
						t.Errorf("%s: takes %s, which %s", at, d.Path, d.Kept)
					}
					if what == Format && (spec.Device == "auto" || !spec.Format || known != nil || !d.Blank || d.FS.Type != "" || d.Parts > 0) {
						t.Errorf("%s: formats %+v", at, d)
					}
					if what == Adopt && (known != nil || d.FS.Type != "btrfs" && d.FS.Type != "ext4") {
						t.Errorf("%s: adopts %+v", at, d)
					}
					if what == Use && (known == nil || d.FS.UUID != known.UUID || known.Serial != "" && d.Serial() != known.Serial) {
						t.Errorf("%s: uses %+v", at, d)
					}
					if (a == "one" || b == "one") && known != nil && known.Serial != "" && (a != b) && what != Use {
						t.Errorf("%s: the known disk is there and not used: %v", at, err)
					}
					if spec.Device == "auto" && known == nil && what == Adopt {
						n := 0
						for _, d := range list {
							if usable(d.FS) && d.Kept == "" {
								n++
							}
						}
						if n != 1 {
							t.Errorf("%s: adopts one of %d, want 1", at, n)
						}
					}
				}
			}
		}
	}
	for _, a := range []Action{Refuse, Use, Adopt, Format} {
		if seen[a] == 0 {
			t.Errorf("nothing ends in %v", a)
		}
	}
}

func TestDecide(t *testing.T) {
	blank := dev("vdb", "S1", disk.FS{})
	blank.Blank = true
	parted, part, other := dev("sda", "S2", disk.FS{}), dev("sda1", "S2", btrfs(uuidA)), dev("sda2", "S2", btrfs(uuidB))
	parted.Parts, part.Disk, other.Disk = 2, "sda", "sda"
	half, twin := dev("sda", "S3", btrfs(uuidA)), dev("sdb", "S4", btrfs(uuidA))
	half.FS.Devices, twin.FS.Devices, twin.FS.Member = 2, 2, "another"
	card := dev("sdc", "S5", disk.FS{Type: "ext4", UUID: uuidB, Label: "K3OS_STATE"})
	k3s := dev("sdd", "S6", btrfs(uuidB))
	k3s.Kept = "holds k3s' data"
	for name, c := range map[string]struct {
		spec  config.StorageDisk
		known *Known
		list  []Device
		want  Action
		path  string
		err   string // a part of it; "absent" for one that may come
	}{
		"nothing there":              {config.StorageDisk{Device: "auto"}, nil, nil, Refuse, "", "absent"},
		"auto and a blank disk":      {config.StorageDisk{Device: "auto"}, nil, []Device{blank}, Refuse, "", "absent"},
		"auto and another card":      {config.StorageDisk{Device: "auto"}, nil, []Device{card}, Refuse, "", "absent"},
		"auto and k3s' disk":         {config.StorageDisk{Device: "auto"}, nil, []Device{k3s}, Refuse, "", "absent"},
		"k3s' disk by name":          {config.StorageDisk{Device: "UUID=" + uuidB}, nil, []Device{k3s}, Refuse, "", "holds k3s' data"},
		"auto and two":               {config.StorageDisk{Device: "auto"}, nil, []Device{part, other}, Refuse, "", "could be any of /dev/sda1 and /dev/sda2"},
		"auto and a pair":            {config.StorageDisk{Device: "auto"}, nil, []Device{half, twin}, Adopt, "/dev/sda", ""},
		"the pair again":             {config.StorageDisk{Device: "auto"}, &Known{UUID: uuidA}, []Device{half, twin}, Use, "/dev/sda", ""},
		"blank, not to be formatted": {config.StorageDisk{Device: "SERIAL=S1"}, nil, []Device{blank}, Refuse, "", "write format: yes"},
		"blank, to be formatted":     {config.StorageDisk{Device: "SERIAL=S1", Format: true}, nil, []Device{blank}, Format, "/dev/vdb", ""},
		"by-id":                      {config.StorageDisk{Device: "/dev/disk/by-id/ata-Model_S1", Format: true}, nil, []Device{blank}, Format, "/dev/vdb", ""},
		"by-id over USB":             {config.StorageDisk{Device: "/dev/disk/by-id/usb-Maker_Model_S1-0:0", Format: true}, nil, []Device{blank}, Format, "/dev/vdb", ""},
		"a part of a number":         {config.StorageDisk{Device: "/dev/disk/by-id/ata-Model_XS1", Format: true}, nil, []Device{blank}, Refuse, "", "absent"},
		"formatted before, and gone": {config.StorageDisk{Name: "data", Device: "SERIAL=S1", Format: true}, &Known{UUID: uuidA, Serial: "S1"}, []Device{blank}, Refuse, "", "absent"},
		"a whole disk, two systems":  {config.StorageDisk{Device: "SERIAL=S2"}, nil, []Device{parted, part, other}, Refuse, "", "could be any of"},
		"a whole disk, one system":   {config.StorageDisk{Device: "SERIAL=S2"}, nil, []Device{parted, part}, Adopt, "/dev/sda1", ""},
		"a whole disk, none":         {config.StorageDisk{Device: "SERIAL=S2", Format: true}, nil, []Device{parted}, Refuse, "", "has 2 partitions"},
		"a copy in its place":        {config.StorageDisk{Name: "data", Device: "auto"}, &Known{UUID: uuidA, Serial: "S0"}, []Device{dev("sdb", "S9", btrfs(uuidA))}, Refuse, "", "is another disk"},
		"a copy next to it":          {config.StorageDisk{Name: "data", Device: "auto"}, &Known{UUID: uuidA, Serial: "S0"}, []Device{dev("sdb", "S9", btrfs(uuidA)), dev("sdc", "S0", btrfs(uuidA))}, Use, "/dev/sdc", ""},
		"another instead":            {config.StorageDisk{Name: "data", Device: "auto"}, &Known{UUID: uuidA, Serial: "S0"}, []Device{dev("sdb", "S9", btrfs(uuidB))}, Refuse, "", "shelf storage forget data"},
	} {
		what, d, err := Decide(c.spec, c.known, c.list)
		var absent Absent
		switch {
		case what != c.want || c.path != "" && d.Path != c.path:
			t.Errorf("%s: got %v %s %v, want %v %s", name, what, d.Path, err, c.want, c.path)
		case c.err == "absent" && !errors.As(err, &absent):
			t.Errorf("%s: got %v, want an absent disk", name, err)
		case c.err != "" && c.err != "absent" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %v, want %q", name, err, c.err)
		}
	}
}

// zeros is a disk of nothing but zeros, except for one byte.
type zeros struct{ size, at int64 }

func (z zeros) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if z.at >= off && z.at < off+int64(len(b)) {
		b[z.at-off] = 1
	}
	return len(b), nil
}

// One byte in the first or last 4 MiB, or in a sample, and the disk is not blank.
func TestBlank(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range []int64{512, 4096, 3 << 20, 9 << 20, 1 << 30, 1 << 40, 1<<40 + 512} {
		if ok, err := Blank(zeros{size, -1}, size); !ok || err != nil {
			t.Errorf("%d zeros: %v, %v", size, ok, err)
		}
		for range 20 {
			at := r.Int64N(min(size, blankEnds))
			for _, byteAt := range []int64{at, size - 1 - at} {
				if ok, err := Blank(zeros{size, byteAt}, size); ok || err != nil {
					t.Errorf("a byte at %d of %d: %v, %v", byteAt, size, ok, err)
				}
			}
		}
		if sample := size / (blankSamples + 1) * 7 / blankSample * blankSample; sample > 0 {
			if ok, _ := Blank(zeros{size, sample}, size); ok {
				t.Errorf("a byte in the sample at %d of %d is not seen", sample, size)
			}
		}
	}
	if ok, err := Blank(bytes.NewReader(make([]byte, 100)), 8<<20); ok || err == nil {
		t.Error("a disk that cannot be read is blank")
	}
	if ok, err := Blank(zeros{0, -1}, 0); ok || err == nil {
		t.Error("nothing is blank")
	}
}
