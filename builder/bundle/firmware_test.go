package bundle

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/builder/ubootscript"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/qemu/fixtures/testboot"
	"imgbuild/qemu/fixtures/testslot"
)

// A bundle of an image has the files of its BOOT that are the board's, with a boot script for each
// board of the family; a bundle that is made of it has them too, and a damaged one is refused.
func TestFirmware(t *testing.T) {
	dir := t.TempDir()
	image, name := filepath.Join(dir, "a.img"), filepath.Join(dir, "a.upgrade")
	testboot.Write(t, image, map[string]string{"boot.scr": testboot.Script("rpi4", "x"), "start.elf": "elf", "overlays/README": "none", "config.yaml": "hostname: secret\n", "config.d/a.yaml": "x", "report.txt": "r", "empty": ""})
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(testslot.New(t, testslot.Version{}), diskmap.SlotA); err != nil {
		t.Fatal(err)
	}
	pub, err := NewKey(filepath.Join(dir, "key"), "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(filepath.Join(dir, "key"), noPassphrase)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := blockcache.Open(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := Make(ctx, Order{File: image, Key: key}, cache); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range boards.Of("rpi64") {
		names = append(names, "boot.scr "+b.Name)
	}
	names = append(names, "overlays/README ", "start.elf ")
	look := func(file string) []firmware.File {
		t.Helper()
		o, err := OpenOffer(file)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		src, err := o.Source([32]byte{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(ctx, src, bundle.Keys{pub})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range b.Manifest.Firmware {
			got = append(got, x.Path+" "+x.Board)
		}
		if !slices.Equal(got, names) {
			t.Errorf("the firmware is %q, want %q", got, names)
		}
		list, ok := firmware.For(b.Manifest.Firmware, "rpi3")
		if !ok {
			t.Fatal("nothing for rpi3")
		}
		script, err := b.FirmwareFile(ctx, list[0])
		if err != nil {
			t.Fatal(err)
		}
		if string(script) != testboot.Script("rpi3", "x") {
			text, _, err := ubootscript.Parse(script)
			t.Errorf("the script for rpi3 is %q, %v", text, err)
		}
		return b.Manifest.Firmware
	}
	first := look(name)
	again := filepath.Join(dir, "b.upgrade")
	if _, err := Make(ctx, Order{File: name, Out: again, Key: key, Floor: 7}, cache); err != nil {
		t.Fatal(err)
	}
	if got := look(again); !slices.Equal(got, first) {
		t.Errorf("the bundle of a bundle has %v, want %v", got, first)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("hostname: secret")) {
		t.Error("the user's configuration is in the bundle")
	}
	bad := bytes.Clone(data)
	bad[len(bad)-1] ^= 1
	for what, text := range map[string][]byte{"a changed byte": bad, "an end": data[:len(data)-1]} {
		file := filepath.Join(dir, "bad.upgrade")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Make(ctx, Order{File: file, Out: again, Key: key}, cache); kindOf(err) != fault.Verify && kindOf(err) != fault.Input {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
