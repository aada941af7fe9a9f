package squashfs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/qemu/tool"
)

func imageFile(t *testing.T, entries []Entry, o Options) string {
	t.Helper()
	image, _ := write(t, entries, o)
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// TestUnsquashfsLists compares type, mode, owner, size or device, time, name and link target of
// each entry.
func TestUnsquashfsLists(t *testing.T) {
	unsquashfs := tool.Path(t, "unsquashfs")
	list := everything()
	lines := map[string]bool{}
	for line := range strings.Lines(run(t, unsquashfs, "-lln", "-d", "R", imageFile(t, list, Options{}))) {
		lines[normal(line)] = true
	}
	byPath := map[string]Entry{}
	for _, e := range list {
		for e.HardLink != "" {
			path := e.Path
			e = byPath[e.HardLink]
			e.Path = path
		}
		byPath[e.Path] = e
		want := normal(listingLine(e))
		if e.Kind != Dir && !lines[want] { // unsquashfs shows the size of a listing for directories
			t.Errorf("not listed: %s", want)
		}
		if e.Kind == Dir {
			found := false
			for line := range lines {
				f := strings.Fields(line)
				found = found || len(f) == 6 && f[5] == strings.TrimSuffix("R/"+e.Path, "/") && f[0] == modeString(e) && f[1] == fmt.Sprintf("%d/%d", e.UID, e.GID)
			}
			if !found {
				t.Errorf("directory %q is not listed with its mode and owner", e.Path)
			}
		}
	}
}

// normal undoes the padding of columns.
func normal(line string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(line), " "), ", ", ",")
}

func listingLine(e Entry) string {
	size := fmt.Sprint(e.Size)
	switch e.Kind {
	case Block, Char:
		// unsquashfs lists the packed number in the old form of 8 bits for the minor number,
		// whatever it holds.
		packed := device(e.Major, e.Minor)
		size = fmt.Sprintf("%d,%d", int32(packed)>>8, packed&0xff)
	case Symlink:
		size = fmt.Sprint(len(e.Target))
	}
	line := fmt.Sprintf("%s %d/%d %s %s R/%s", modeString(e), e.UID, e.GID, size, time.Unix(int64(e.MTime), 0).UTC().Format("2006-01-02 15:04"), e.Path)
	if e.Kind == Symlink {
		line += " -> " + e.Target
	}
	return line
}

func modeString(e Entry) string {
	b := []byte{"?d-lbcps"[e.Kind]}
	for i, c := range "rwxrwxrwx" {
		if e.Mode>>(8-i)&1 == 0 {
			c = '-'
		}
		b = append(b, byte(c))
	}
	for i, s := range []struct {
		bit  uint16
		x, n byte
	}{{0o4000, 's', 'S'}, {0o2000, 's', 'S'}, {0o1000, 't', 'T'}} {
		if e.Mode&s.bit != 0 {
			at := 3 + 3*i
			if b[at] == 'x' {
				b[at] = s.x
			} else {
				b[at] = s.n
			}
		}
	}
	return string(b)
}

// TestUnsquashfsExtracts compares contents and hard links. Devices need root, so they are not
// extracted.
func TestUnsquashfsExtracts(t *testing.T) {
	unsquashfs := tool.Path(t, "unsquashfs")
	var list []Entry
	for _, e := range everything() {
		if e.Kind == Block || e.Kind == Char || e.HardLink == "null" || e.Kind == Socket {
			continue
		}
		e.UID, e.GID, e.Xattrs = 0, 0, nil
		list = append(list, e)
	}
	for i := range 3000 {
		list = append(list, text(fmt.Sprintf("empty/%0100d", i), fmt.Sprint("content ", i)))
	}
	out := filepath.Join(t.TempDir(), "out")
	run(t, unsquashfs, "-n", "-no-xattrs", "-d", out, imageFile(t, list, Options{}))
	byPath := map[string]Entry{}
	for _, e := range list {
		name := filepath.Join(out, e.Path)
		if e.HardLink != "" {
			a, err1 := os.Stat(name)
			b, err2 := os.Stat(filepath.Join(out, e.HardLink))
			if err1 != nil || err2 != nil || !os.SameFile(a, b) {
				t.Errorf("%s is not the same file as %s", e.Path, e.HardLink)
			}
			continue
		}
		byPath[e.Path] = e
		if e.Kind == File {
			if os.Geteuid() != 0 && e.Mode&0o400 == 0 {
				continue
			}
			got, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(got, contentOf(t, &e)) {
				t.Errorf("%s: content differs (%v)", e.Path, err)
			}
		}
	}
}

func TestUnsquashfsSeesXattrs(t *testing.T) {
	out := run(t, tool.Path(t, "unsquashfs"), "-s", imageFile(t, everything(), Options{ModTime: 1700000000}))
	for _, want := range []string{"Compression zstd", "Block size 262144", "exportable via NFS", "Duplicates are removed", "Xattrs are", "Number of xattr ids 6", "Nov 14 22:13:20 2023"} {
		if !strings.Contains(out, want) {
			t.Errorf("unsquashfs -s does not print %q:\n%s", want, out)
		}
	}
}
