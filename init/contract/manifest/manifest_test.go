package manifest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/codec"
)

// whole is a manifest with every field.
func whole() *Manifest {
	return &Manifest{
		Format: Format, Family: "rpi64", Arch: "arm64", Roles: []string{"server", "worker"}, Version: "20261122-0badc0de", Date: 1795305600,
		Compatible: []string{"raspberrypi,4-model-b"}, MinMemory: 400 << 20, Kernel: "6.12.1", InitSHA256: strings.Repeat("1", 64), Lacks: []string{"no security"},
		K3s:      &K3s{Version: "v1.35.0+k3s1", Source: "firstboot", SHA256: strings.Repeat("2", 64), URL: "https://example.com/k3s", Size: 7},
		Health:   map[string]Health{"worker": {Checks: []string{"sshd", "kubelet"}, Deadline: 300}, "server": {Checks: []string{"api"}, Deadline: 600}},
		Root:     Root{Offset: 8192, Size: 4096, TreeOffset: 12288, TreeSize: 4096, Hash: strings.Repeat("3", 64), Salt: "00ff"},
		Files:    []File{{Path: "dtb/a.dtb", Offset: 512, Size: 3, SHA256: strings.Repeat("4", 64)}, {Path: KernelName, Offset: 1024, Size: 5, SHA256: strings.Repeat("5", 64)}},
		Encoders: []codec.Encoder{{Name: "zstd", Version: 1}},
	}
}

// signed returns the sum of a text in the form of sha256sum.
func signed(data []byte) []byte { return fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(data), Name) }

// The text is what nodes that were flashed years ago read: its names and its order never change.
func TestMarshal(t *testing.T) {
	data, sum, err := whole().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(sum), string(signed(data)); got != want {
		t.Errorf("got the sum %q, want %q", got, want)
	}
	var names []string
	for _, line := range strings.Split(string(data), "\n") {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "\t\""), "\":"); ok && strings.HasPrefix(line, "\t\"") {
			names = append(names, name)
		}
	}
	const want = "format family arch roles version date compatible min_memory kernel init_sha256 lacks k3s health root files encoders"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got the keys %s\nwant         %s", got, want)
	}
	if got := string(data); !strings.HasSuffix(got, "\n}\n") || strings.Index(got, `"server": {`) > strings.Index(got, `"worker": {`) {
		t.Errorf("got a text without a newline at its end, or with roles in another order:\n%s", got)
	}
	got, err := Parse(data, sum)
	if err != nil || !reflect.DeepEqual(got, whole()) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, whole())
	}
}

// A newer builder may write keys that this program does not know; what older ones did not write is
// empty.
func TestOtherVersions(t *testing.T) {
	m := whole()
	m.Lacks, m.K3s, m.Health, m.Encoders = nil, nil, nil, nil
	data, _, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"lacks", "k3s", "health", "encoders"} {
		if strings.Contains(string(data), `"`+absent+`"`) {
			t.Errorf("an empty %s is in the text", absent)
		}
	}
	newer := []byte(strings.Replace(string(data), "{", `{"later": [1, {"a": 2}],`, 1))
	for name, text := range map[string][]byte{"older": data, "newer": newer} {
		if got, err := Parse(text, signed(text)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, m)
		}
	}
}

// Whatever is wrong is refused, and the error names it.
func TestRefused(t *testing.T) {
	for word, change := range map[string]func(m *Manifest){
		"format 2":              func(m *Manifest) { m.Format = 2 },
		"family, version":       func(m *Manifest) { m.Family = "" },
		"version, roles":        func(m *Manifest) { m.Version = "" },
		"roles or compatible":   func(m *Manifest) { m.Roles = nil },
		"compatible is missing": func(m *Manifest) { m.Compatible = []string{} },
		"root is not in":        func(m *Manifest) { m.Root.Offset = 0 },
		"whole blocks":          func(m *Manifest) { m.Root.Size = 4095 },
		"TreeOffset:16384":      func(m *Manifest) { m.Root.TreeOffset = 16384 },
		"TreeSize:0":            func(m *Manifest) { m.Root.TreeSize = 0 },
		"Size:-4096":            func(m *Manifest) { m.Root.Size = -4096 },
		"is not a sha256":       func(m *Manifest) { m.Root.Hash = "33" },
		"root hash \"zz\"":      func(m *Manifest) { m.Root.Hash = "zz" },
		"salt \"0\"":            func(m *Manifest) { m.Root.Salt = "0" },
		"at most 256 bytes":     func(m *Manifest) { m.Root.Salt = strings.Repeat("00", 257) },
		"file \"\"":             func(m *Manifest) { m.Files[0].Path = "" },
		"file \"../kernel\"":    func(m *Manifest) { m.Files[0].Path = "../kernel" },
		"file \"/kernel\"":      func(m *Manifest) { m.Files[0].Path = "/kernel" },
		"path, size or offset":  func(m *Manifest) { m.Files[1].Size = -1 },
		"proper path, size":     func(m *Manifest) { m.Files[1].Offset = -1 },
	} {
		m := whole()
		change(m)
		data, sum, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(data, sum); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), Name) {
			t.Errorf("got %v, want %q in it", err, word)
		}
	}
	good, sum, err := whole().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	other := []byte(strings.Replace(string(good), "rpi64", "rpi32", 1))
	for name, c := range map[string]struct{ data, sum []byte }{
		"another text":     {other, sum},
		"no sum":           {good, nil},
		"a sum alone":      {good, sum[:64]},
		"half a sum":       {good, sum[1:]},
		"cut":              {good[:len(good)-2], signed(good[:len(good)-2])},
		"no JSON":          {[]byte("\x00\x00"), signed([]byte("\x00\x00"))},
		"empty":            {nil, signed(nil)},
		"a wrong type":     {[]byte(`{"format": "1"}`), signed([]byte(`{"format": "1"}`))},
		"a number too big": {[]byte(`{"format": 1e99}`), signed([]byte(`{"format": 1e99}`))},
	} {
		if got, err := Parse(c.data, c.sum); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func TestFile(t *testing.T) {
	m := whole()
	for name, want := range map[string]*File{KernelName: &m.Files[1], "dtb/a.dtb": &m.Files[0], InitrdName: nil, "": nil} {
		if got := m.File(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestFits(t *testing.T) {
	m := &Manifest{Compatible: []string{"raspberrypi,4-model-b", "linux,dummy-virt"}}
	for _, c := range []struct {
		machine []string
		want    bool
	}{
		{[]string{"raspberrypi,4-model-b", "brcm,bcm2711"}, true},
		{[]string{"qemu,other", "linux,dummy-virt"}, true},
		{[]string{"raspberrypi,4-model-b2", "brcm,bcm2711"}, false},
		{nil, false},
	} {
		if got := m.Fits(c.machine); got != c.want {
			t.Errorf("%q: got %v, want %v", c.machine, got, c.want)
		}
	}
}

// A manifest that is taken can be written, read again, and is the same.
func FuzzParse(f *testing.F) {
	data, _, err := whole().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, signed(data))
		if err != nil {
			return
		}
		again, sum, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(again, sum)
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, again)
		}
		a, _ := json.Marshal(m)
		b, _ := json.Marshal(got)
		if string(a) != string(b) {
			t.Errorf("got %s\nwant %s", b, a)
		}
	})
}
