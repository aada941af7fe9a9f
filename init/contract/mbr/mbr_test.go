package mbr

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

// disk is the table of a real image: BOOT, two slots, data.
var disk = Table{
	Signature: 0x1a2b3c4d,
	Partitions: [4]Partition{
		{Start: 32768, Sectors: 229376, Type: FAT32, Active: true},
		{Start: 491520, Sectors: 1310720, Type: HiddenFAT32},
		{Start: 1802240, Sectors: 1310720, Type: HiddenFAT32},
		{Start: 3112960, Sectors: 524288, Type: Linux},
	},
}

func TestRoundTrip(t *testing.T) {
	s, err := disk.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range s[:CodeSize] {
		if b != 0 {
			t.Fatalf("boot code byte %d is %#x, want 0", i, b)
		}
	}
	got, err := Parse(s[:])
	if err != nil || got != disk {
		t.Fatalf("read back %+v, %v", got, err)
	}
}

// Linux and U-Boot print the number of the partition in hex.
func TestPartUUID(t *testing.T) {
	for n, want := range map[int]string{1: "1a2b3c4d-01", 4: "1a2b3c4d-04", 10: "1a2b3c4d-0a", 60: "1a2b3c4d-3c"} {
		if got := disk.PartUUID(n); got != want {
			t.Errorf("partition %d: got %s, want %s", n, got, want)
		}
		for _, s := range []string{want, strings.ToUpper(want)} {
			if sig, got, err := ParsePartUUID(s); err != nil || sig != disk.Signature || got != n {
				t.Errorf("%s: got %x and %d, %v, want %x and %d", s, sig, got, err, disk.Signature, n)
			}
		}
	}
	for _, bad := range []string{"", "1a2b3c4d", "1a2b3c4d-", "1a2b3c4d-1", "1a2b3c4d-001", "1a2b3c4d-00", "1a2b3c4d-0g", "+a2b3c4d-01", "a2b3c4d-01", "0f0f0f0f-0f0f-0f0f"} {
		if sig, n, err := ParsePartUUID(bad); err == nil {
			t.Errorf("%q: got %x and %d, want an error", bad, sig, n)
		}
	}
}

// Entries decoded without checks are those of Parse where nothing is wrong, and ones that Parse
// refuses otherwise.
func TestDecode(t *testing.T) {
	s, err := disk.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(s[:]); err != nil || got != disk {
		t.Errorf("got %+v, %v, want %+v", got, err, disk)
	}
	bad := Set(s[:], 4, Partition{Start: 40000, Sectors: 7, Type: Linux})
	if _, err := Parse(bad); err == nil {
		t.Error("Parse: got no error for a partition inside another one")
	}
	if got, err := Decode(bad); err != nil || got.Partitions[3] != (Partition{Start: 40000, Sectors: 7, Type: Linux}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Decode(make([]byte, 512)); !errors.Is(err, ErrNoTable) {
		t.Errorf("zeros: got %v, want %v", err, ErrNoTable)
	}
}

func TestSfdisk(t *testing.T) {
	s, err := disk.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, s[:], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(img, 2<<30); err != nil {
		t.Fatal(err)
	}
	verdict := reference(t, "sfdisk", "--verify", img)
	if !strings.Contains(verdict, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", verdict)
	}
	dump := reference(t, "sfdisk", "--dump", img)
	want := []string{"label: dos", "label-id: 0x1a2b3c4d"}
	for i, p := range disk.Partitions {
		line := fmt.Sprintf("%s%d : start=%12d, size=%12d, type=%x", img, i+1, p.Start, p.Sectors, p.Type)
		if p.Active {
			line += ", bootable"
		}
		want = append(want, line)
	}
	for _, w := range want {
		if !strings.Contains(dump, w+"\n") {
			t.Errorf("sfdisk --dump lacks %q:\n%s", w, dump)
		}
	}
	// sfdisk fills CHS as we do: let it write the same table over ours and compare.
	cmd := exec.Command(tool.Path(t, "sfdisk"), "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never", img)
	cmd.Stdin = strings.NewReader(dump)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	again := make([]byte, SectorSize)
	if _, err := f.ReadAt(again, 0); err != nil {
		t.Fatal(err)
	}
	if string(again[CodeSize:]) != string(s[CodeSize:]) {
		t.Errorf("sfdisk writes\n% x, we write\n% x", again[CodeSize:], s[CodeSize:])
	}
}

func TestRefused(t *testing.T) {
	linux := func(start, sectors uint32) Partition { return Partition{Start: start, Sectors: sectors, Type: Linux} }
	for _, c := range []struct {
		want string
		p    [4]Partition
	}{
		{"partitions 1 and 3 overlap", [4]Partition{0: linux(100, 10), 2: linux(109, 1)}},
		{"partitions 1 and 2 overlap", [4]Partition{linux(105, 1), linux(100, 10)}},
		{"partitions 3 and 4 overlap", [4]Partition{2: linux(100, 10), 3: linux(100, 10)}},
		{"starts at sector 0", [4]Partition{linux(0, 10)}},
		{"no sectors", [4]Partition{linux(10, 0)}},
		{"type 0", [4]Partition{{Start: 10, Sectors: 10}}},
		{"type 0", [4]Partition{{Active: true}}},
		{"beyond the 2 TiB", [4]Partition{linux(1<<31, 1<<31+1)}},
		{"ends at sector 8589934590", [4]Partition{linux(1<<32-1, 1<<32-1)}},
	} {
		if _, err := (Table{Partitions: c.p}).Marshal(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.want, err)
		}
	}
	edge := Table{Partitions: [4]Partition{{Start: 1 << 31, Sectors: 1 << 31, Type: 0x83}, {Start: 1, Sectors: 1<<31 - 1, Type: 0xee}}}
	if _, err := edge.Marshal(); err != nil {
		t.Errorf("a table that is full to the last sector: %v", err)
	}
}

func TestParseRefused(t *testing.T) {
	if _, err := Parse(make([]byte, 511)); err == nil {
		t.Error("511 bytes accepted")
	}
	if _, err := Parse(make([]byte, 512)); !errors.Is(err, ErrNoTable) {
		t.Errorf("zeros: %v", err)
	}
	s, _ := disk.Marshal()
	s[entries] = 0x7f
	if _, err := Parse(s[:]); err == nil {
		t.Error("boot flag 7f accepted")
	}
	s, _ = disk.Marshal()
	s[entries+entrySize+8] = 0 // slot A now starts inside BOOT
	s[entries+entrySize+9], s[entries+entrySize+10] = 0, 1
	if _, err := Parse(s[:]); err == nil {
		t.Error("overlap accepted")
	}
}

func FuzzParse(f *testing.F) {
	s, _ := disk.Marshal()
	f.Add(s[:])
	f.Add(make([]byte, 512))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, err := Parse(b)
		if err != nil {
			return
		}
		out, err := tab.Marshal()
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		if again, err := Parse(out[:]); err != nil || again != tab {
			t.Fatalf("%+v became %+v, %v", tab, again, err)
		}
	})
}

func reference(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(tool.Path(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
