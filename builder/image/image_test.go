package image

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/overlays"
)

// What plan prints is in the order of the disk, and nothing overlaps.
func TestAreas(t *testing.T) {
	areas := Areas()
	for i, a := range areas {
		if i > 0 && a.Start%diskmap.Erase != 0 {
			t.Errorf("%s starts at %d, inside an erase block", a.Name, a.Start)
		}
		if i+1 < len(areas) && a.Start+a.Size > areas[i+1].Start {
			t.Errorf("%s runs into %s", a.Name, areas[i+1].Name)
		}
	}
}

func put(t *testing.T, tr *tree.Tree, nodes ...*tree.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := tr.Put(n); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverlayTable(t *testing.T) {
	tr := tree.New()
	put(t, tr, &tree.Node{Path: "usr/bin/tool", Kind: tree.File, Mode: 0o755}, &tree.Node{Path: "certs/b.crt", Kind: tree.File, Content: tree.Bytes([]byte("B\n\n"))},
		&tree.Node{Path: "certs/a.crt", Kind: tree.File, Content: tree.Bytes([]byte("A"))}, &tree.Node{Path: "etc/gone/x", Kind: tree.File})
	ids := ids{map[string]uint32{"u": 7}, map[string]uint32{"g": 8, "u": 9}}
	o := &overlay{name: "test", table: &overlays.Table{
		Dirs:   []overlays.Dir{{Path: "var/d", Mode: 0o2750, Owner: "u"}},
		Modes:  []overlays.Dir{{Path: "usr/bin/tool", Mode: 0o2755, Owner: "u:g"}, {Path: "nope", Mode: 0o600, Optional: true}},
		Links:  []overlays.Link{{Path: "usr/bin/alias", Target: "tool"}, {Path: "usr/bin/no", Target: "absent", Optional: true}, {Path: "usr/bin/yes", Target: "tool", Optional: true}},
		Concat: []overlays.Concat{{From: "certs/*.crt", To: "bundle"}},
		Remove: []string{"etc/gone"},
	}}
	if err := o.apply(tr, ids, 5); err != nil {
		t.Fatal(err)
	}
	if d := tr.Lookup("var/d"); d == nil || d.Mode != 0o2750 || d.UID != 7 || d.GID != 9 {
		t.Errorf("the directory is %+v", d)
	}
	if f := tr.Lookup("usr/bin/tool"); f.Mode != 0o2755 || f.UID != 7 || f.GID != 8 {
		t.Errorf("the mode is %+v", f)
	}
	if tr.Lookup("usr/bin/alias") == nil || tr.Lookup("usr/bin/yes") == nil || tr.Lookup("usr/bin/no") != nil || tr.Lookup("etc/gone/x") != nil {
		t.Error("links or removals are wrong")
	}
	if b, err := tr.Lookup("bundle").Content.ReadAll(); err != nil || string(b) != "A\nB\n" {
		t.Errorf("the bundle is %q, %v, want %q", b, err, "A\nB\n")
	}
	for what, table := range map[string]*overlays.Table{
		"an unknown user":  {Dirs: []overlays.Dir{{Path: "x", Mode: 0o755, Owner: "nobody"}}},
		"an unknown group": {Dirs: []overlays.Dir{{Path: "x", Mode: 0o755, Owner: "u:nobody"}}},
		"an absent path":   {Modes: []overlays.Dir{{Path: "absent", Mode: 0o600}}},
		"an empty bundle":  {Concat: []overlays.Concat{{From: "none/*", To: "x"}}},
	} {
		if err := (&overlay{name: "bad", table: table}).apply(tree.New(), ids, 0); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestUsr(t *testing.T) {
	tr := tree.New()
	put(t, tr, &tree.Node{Path: "usr/bin/a", Kind: tree.File}, &tree.Node{Path: "usr/bin/b", Kind: tree.File, HardLink: "usr/bin/a"},
		&tree.Node{Path: "etc/conf", Kind: tree.File}, &tree.Node{Path: "var/lib/x", Kind: tree.Dir}, &tree.Node{Path: "tmp", Kind: tree.Dir})
	out, err := usr(tr)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bin/a", "share/etc/conf", "share/factory/var/lib/x"} {
		if out.Lookup(name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if l := out.Lookup("bin/b"); l == nil || l.HardLink != "bin/a" {
		t.Errorf("the hard link is %+v", l)
	}
	put(t, tr, &tree.Node{Path: "odd/place", Kind: tree.File, Origin: "pkg"})
	if _, err := usr(tr); err == nil || !strings.Contains(err.Error(), "pkg") {
		t.Errorf("a file outside of /usr, /etc and /var is lost: %v", err)
	}
}

// The packed image unpacks to the image, and its bytes do not depend on where a file system keeps
// holes.
func TestPackIgnoresHoles(t *testing.T) {
	content := make([]byte, 9*mib+4096)
	copy(content[3*mib+100:], "something")
	copy(content[8*mib:], bytes.Repeat([]byte("data "), 1000))
	var packed [][]byte
	for _, sparse := range []bool{true, false} {
		b := &build{temp: t.TempDir()}
		f, err := os.Create(b.path("disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		if sparse {
			if err := f.Truncate(int64(len(content))); err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{3 * mib, 8 * mib} {
				if _, err := f.WriteAt(content[at:at+8192], int64(at)); err != nil {
					t.Fatal(err)
				}
			}
		} else if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := b.pack(t.Context()); err != nil {
			t.Fatal(err)
		}
		want, _, err := sumFile(b.path("disk.img"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sumSparse(t.Context(), b.path("disk.img")); err != nil || got != want {
			t.Errorf("got the sum %s, %v, want %s", got, err, want)
		}
		data, err := os.ReadFile(b.path("disk.img.zst"))
		if err != nil {
			t.Fatal(err)
		}
		packed = append(packed, data)
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("holes change the packed bytes")
	}
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := r.DecodeAll(packed[0], nil); err != nil || !bytes.Equal(got, content) {
		t.Errorf("it unpacks to something else: %v", err)
	}
}

func TestMergeSums(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "SHA256SUMS")
	if err := os.WriteFile(file, []byte("aa  gone.img\nbb  here.img\nold  new.img\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "here.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := mergeSums(file, []byte("cc  new.img\n"))
	if err != nil || string(got) != "bb  here.img\ncc  new.img\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// A blob that is not available is an error that names file, address, sum and the ways out.
func TestBlobs(t *testing.T) {
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	raw := boards.Raw{Name: "bl1.bin", URL: "http://127.0.0.1:1/bl1.bin", Size: 4, SHA256: "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589"} // of "abcd"
	_, err = Blobs{}.Get(t.Context(), cache, raw)
	if fault.Code(err) != 4 {
		t.Errorf("no network: %v, want code 4", err)
	}
	dir := t.TempDir()
	_, missing := Blobs{Dir: dir}.Get(t.Context(), cache, raw)
	if err := os.WriteFile(filepath.Join(dir, raw.Name), []byte("wxyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, wrong := Blobs{Dir: dir}.Get(t.Context(), cache, raw)
	for code, err := range map[int]error{4: err, 3: missing, 5: wrong} {
		if fault.Code(err) != code {
			t.Errorf("code %d, want %d: %v", fault.Code(err), code, err)
			continue
		}
		for _, want := range []string{raw.Name, raw.URL, raw.SHA256, "blobs=DIR", "blobs=skip"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, raw.Name), []byte("abcd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := (Blobs{Dir: dir}).Get(t.Context(), cache, raw); err != nil || string(data) != "abcd" {
		t.Errorf("%q, %v, want %q", data, err, "abcd")
	}
	// Blobs from packages are not looked for in the directory; a missing blob of the vendor's is
	// reported before the build starts.
	packaged, other := boards.Raw{Name: "u-boot.bin", Package: "u-boot"}, boards.Raw{Name: "tzsw.bin", SHA256: raw.SHA256}
	if err := (Blobs{Dir: dir}).Check([]boards.Raw{raw, packaged}); err != nil {
		t.Error(err)
	}
	if err := (Blobs{Dir: dir}).Check([]boards.Raw{raw, packaged, other}); fault.Code(err) != 3 {
		t.Errorf("a blob that is not there: %v, want code 3", err)
	}
	if data, err := (Blobs{Skip: true}).Get(t.Context(), cache, raw); data != nil || err != nil {
		t.Errorf("skipped: %q, %v, want nil", data, err)
	}
}

func TestCheckConfig(t *testing.T) {
	if _, err := CheckConfig("dir/c.yaml", nil, true, nil, Source{"dir/c.yaml", []byte("hostname: [a, b]\n")}); fault.Code(err) != 3 || !strings.Contains(err.Error(), " c.yaml:1:") {
		t.Errorf("a wrong value: %v", err)
	}
	warnings, err := CheckConfig("", nil, false, nil)
	if err != nil || !strings.Contains(strings.Join(warnings, "\n"), "log in") {
		t.Errorf("nobody can log in, and it is not reported: %v %v", warnings, err)
	}
}

// A board or a role alone is enough to find what will not work there.
func TestValidateFor(t *testing.T) {
	const text = "ssh_authorized_keys: [github:me]\nk3os: {wifi: [{name: home, passphrase: 12345678}], k3s_args: [server]}\nnetwork: {country: DE}\n"
	for _, c := range []struct{ board, role, want string }{
		{"", "", ""},
		{"", "server", ""},
		{"", "worker", "server contradicts the role of this node, worker"},
		{"odroid-xu4", "", "odroid-xu4 has no Wi-Fi of its own"},
		{"rpi3", "", "this image cannot be a server; it can be worker"},
		{"rpi4", "worker", "server contradicts the role of this node, worker"},
		{"rpi4", "server", ""},
	} {
		problems, err := ValidateFor("c.yaml", []byte(text), c.board, c.role)
		if err != nil || (c.want == "") != (len(problems) == 0) || !strings.Contains(fmt.Sprint(problems), c.want) {
			t.Errorf("%s %s: %v %v, want %q", c.board, c.role, problems, err, c.want)
		}
	}
	for _, c := range [][3]string{{"rpi9", "", "rpi9"}, {"", "king", "king"}, {"rpi3", "server", "cannot be a server"}} {
		if _, err := ValidateFor("c.yaml", nil, c[0], c[1]); fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%q: %v", c, err)
		}
	}
}
