package debian

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

const sampleControl = "Package: sample\nVersion: 1.0\nArchitecture: arm64\nDescription: x\n y\n"

func readDeb(raw []byte) (*Deb, map[string]string, error) {
	d, err := OpenDeb(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	plain, release, err := d.Data()
	if err != nil {
		return nil, nil, err
	}
	defer release()
	all, err := io.ReadAll(plain)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]string{}
	t := tar.NewReader(bytes.NewReader(all))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return d, files, nil
		}
		if err != nil {
			return nil, nil, err
		}
		body, err := io.ReadAll(t)
		if err != nil {
			return nil, nil, err
		}
		files[cleanName(h.Name)] = string(body)
	}
}

func TestDeb(t *testing.T) {
	for _, compression := range []string{"", "gz", "zst"} {
		raw := makeDeb(t, sampleControl, map[string]string{"postinst": "#!/bin/sh\nadduser x\n", "md5sums": "no"},
			map[string]string{"usr/": "", "usr/bin/x": "hello", "odd": "abc"}, compression)
		d, files, err := readDeb(raw)
		if err != nil {
			t.Fatal(compression, err)
		}
		if d.Control["package"] != "sample" || d.Control["description"] != "x\ny" || len(d.Scripts) != 1 || files["usr/bin/x"] != "hello" || len(files) != 3 {
			t.Fatal(compression, d, files)
		}
		for cut := range len(raw) - 1 { // the last byte may be padding
			if cut > 200 && cut%7 != 0 {
				continue
			}
			if _, _, err := readDeb(raw[:cut]); err == nil {
				t.Fatalf("%s: cut at %d of %d is not noticed", compression, cut, len(raw))
			}
		}
	}
}

// smallXz is "hello from xz\n" packed by xz 5.4 with CRC64, as dpkg-deb uses.
const smallXz = "fd377a585a000004e6d6b4460200210116000000742fe5a301000d68656c6c6f2066726f6d20787a0a0000005bf986dde6277ae60001260e081be0041fb6f37d010000000004595a"

func TestDecompressXz(t *testing.T) {
	for range 2 { // the second one comes out of the pool
		r, release, err := decompress("a.xz", bytes.NewReader(xzSample(t)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		release()
		if err != nil || string(text) != "hello from xz\n" {
			t.Fatalf("%q %v, want %q", text, err, "hello from xz\n")
		}
	}
	raw := xzSample(t)
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		r, release, err := decompress("a.xz", bytes.NewReader(bad))
		if err == nil {
			var text []byte
			text, err = io.ReadAll(r)
			release()
			if err == nil && string(text) == "hello from xz\n" {
				continue // a flag that changes nothing
			}
		}
		if err == nil {
			t.Fatalf("byte %d altered: not noticed", i)
		}
	}
	for cut := range raw {
		r, release, err := decompress("a.xz", bytes.NewReader(raw[:cut]))
		if err == nil {
			_, err = io.ReadAll(r)
			release()
		}
		if err == nil {
			t.Fatalf("cut at %d: not noticed", cut)
		}
	}
	if _, _, err := decompress("data.tar.lzma", nil); err == nil || !strings.Contains(err.Error(), "lzma") {
		t.Fatal(err)
	}
}

func xzSample(t testing.TB) []byte {
	raw, err := hex.DecodeString(smallXz)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDebRefusals(t *testing.T) {
	ar := func(members ...string) []byte {
		var b bytes.Buffer
		b.WriteString("!<arch>\n")
		for i := 0; i < len(members); i += 2 {
			member(&b, members[i], []byte(members[i+1]))
		}
		return b.Bytes()
	}
	control := string(makeTar(t, map[string]string{"control": sampleControl}))
	for _, c := range []struct {
		raw  []byte
		want string
	}{
		{nil, "not a Debian package"},
		{[]byte("!<arch>\n"), "not a Debian package"},
		{[]byte("<html>not a package</html>"), "not a Debian package"},
		{ar("control.tar", control), "not debian-binary"},
		{ar("debian-binary", "3.0\n"), "format \"3.0"},
		{ar("debian-binary", "2.0\n"), "ends before its data"},
		{ar("debian-binary", "2.0\n", "data.tar", ""), "unexpected member \"data.tar\""},
		{ar("debian-binary", "2.0\n", "control.tar", control), "ends before its data"},
		{ar("debian-binary", "2.0\n", "control.tar", control, "other", "x"), "unexpected member"},
		{ar("debian-binary", "2.0\n", "control.tar", string(makeTar(t, map[string]string{"x": ""}))), "no control file"},
		{ar("debian-binary", "2.0\n", "control.tar.bz2", "x"), "bz2"},
		{ar("debian-binary", "2.0\n", "control.tar", string(makeTar(t, map[string]string{"control": "nonsense"}))), "no field name"},
		{bytes.Replace(ar("debian-binary", "2.0\n"), []byte("4         `"), []byte("-4        `"), 1), "size of a member"},
		{bytes.Replace(ar("debian-binary", "2.0\n"), []byte("`\n2"), []byte("xx2"), 1), "header of a member is damaged"},
	} {
		if _, _, err := readDeb(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %s", c.raw, err, c.want)
		}
	}
	if _, _, err := readDeb(ar("debian-binary", "2.0\n", "_ours", "x", "control.tar", control, "_ours", "", "data.tar", string(makeTar(t, nil)))); err != nil {
		t.Error(err)
	}
}

func TestBoundedStopsABomb(t *testing.T) {
	b := &bounded{zeros{}, 1 << 20, "a bomb"}
	n, err := io.Copy(io.Discard, b)
	if n != 1<<20 || err == nil || !strings.Contains(err.Error(), "larger") {
		t.Fatal(n, err)
	}
	if all, err := readAll(strings.NewReader("12345"), 5, "x"); err != nil || string(all) != "12345" {
		t.Fatalf("%v: got %v, want %q", all, err, "12345")
	}
}

func FuzzOpenDeb(f *testing.F) {
	for _, compression := range []string{"", "gz", "zst"} {
		f.Add(makeDeb(f, sampleControl, map[string]string{"postinst": "#!/bin/sh\nchown a b\n"}, map[string]string{"x": "y"}, compression))
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member(&b, "debian-binary", []byte("2.0\n"))
	member(&b, "control.tar.xz", xzSample(f))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := OpenDeb(bytes.NewReader(raw))
		if err != nil {
			return
		}
		ScriptsHash(d.Scripts)
		plain, release, err := d.Data()
		if err != nil {
			return
		}
		defer release()
		io.Copy(io.Discard, io.LimitReader(plain, 1<<20))
	})
}
