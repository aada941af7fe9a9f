package channel

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"

	"aead.dev/minisign"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

func example() *Channel {
	return &Channel{Format: Format, Issued: 1_800_000_000, Systems: []System{
		{Family: "rpi64", Arch: "arm64", Roles: []string{"server", "worker"}, Version: "20261121-aaaaaaaa", Date: 1_700_000_000, Manifest: strings.Repeat("1", 64), Bundle: "rpi.upgrade", K3s: "v1.35.0+k3s1"},
		{Family: "rpi64", Arch: "arm64", Roles: []string{"storage"}, Version: "20261121-bbbbbbbb", Date: 1_700_000_000, Manifest: strings.Repeat("2", 64), Bundle: "nas.upgrade"},
	}}
}

func TestOpen(t *testing.T) {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := bundle.Keys{pub}
	text, err := example().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	signature := bundle.Sign(key, text, "channel")
	c, err := Open(keys, text, signature)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []struct{ family, arch, role, want string }{
		{"rpi64", "arm64", "worker", "20261121-aaaaaaaa"}, {"rpi64", "arm64", "storage", "20261121-bbbbbbbb"}, {"rpi64", "arm64", "router", ""}, {"xu4", "armhf", "worker", ""}, {"rpi64", "armhf", "worker", ""},
	} {
		if s := c.For(n.family, n.arch, n.role); (s == nil) != (n.want == "") || s != nil && s.Version != n.want {
			t.Errorf("%+v: got %+v", n, s)
		}
	}
	if _, err := Open(nil, text, signature); fault.Code(err) != int(fault.Verify) {
		t.Errorf("without a key: %v, want code %v", err, int(fault.Verify))
	}
	// No byte of file and signature changes unnoticed, and neither ends early.
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := Open(keys, bad, signature); fault.Code(err) != int(fault.Verify) {
			t.Fatalf("byte %d: %v, want code %v", i, err, int(fault.Verify))
		}
		if _, err := Open(keys, text[:i], signature); fault.Code(err) != int(fault.Verify) {
			t.Fatalf("cut at %d: %v, want code %v", i, err, int(fault.Verify))
		}
	}
	for i := range signature {
		bad := bytes.Clone(signature)
		bad[i] ^= 1
		if _, err := Open(keys, text, bad); fault.Code(err) != int(fault.Verify) {
			t.Fatalf("byte %d of the signature: %v, want code %v", i, err, int(fault.Verify))
		}
	}
	// What is signed has one form.
	for name, other := range map[string]string{
		"spaces":   strings.Replace(string(text), "\t", " ", 1),
		"a field":  strings.Replace(string(text), `"format"`, `"more": 1, "format"`, 1),
		"no JSON":  "channel\n",
		"a newer":  `{"format": 2, "systems": {}}`,
		"too long": strings.Repeat(" ", MaxSize+1),
	} {
		want := fault.Verify
		if name == "a newer" {
			want = fault.Input
		}
		if _, err := Open(keys, []byte(other), bundle.Sign(key, []byte(other), "")); fault.Code(err) != int(want) {
			t.Errorf("%s: %v, want code %v", name, err, int(want))
		}
	}
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(c *Channel){
		"no systems":       func(c *Channel) { c.Systems = nil },
		"not issued":       func(c *Channel) { c.Issued = 0 },
		"format":           func(c *Channel) { c.Format = 0 },
		"two for one role": func(c *Channel) { c.Systems[1].Roles = []string{"storage", "worker"} },
		"a path":           func(c *Channel) { c.Systems[0].Bundle = "../x.upgrade" },
		"a hidden file":    func(c *Channel) { c.Systems[0].Bundle = ".." },
		"no hash":          func(c *Channel) { c.Systems[0].Manifest = "12" },
		"a strange date":   func(c *Channel) { c.Systems[0].Date = -1 },
		"no version":       func(c *Channel) { c.Systems[0].Version = "" },
	} {
		c := example()
		change(c)
		if _, err := c.Marshal(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
