package source

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// plugged is /sys and /dev of a node with sticks; a stick is a directory, "mounted" by a link.
type plugged struct {
	USBOptions
	t       *testing.T
	mounted int
}

func plug(t *testing.T) *plugged {
	dir := t.TempDir()
	p := &plugged{t: t}
	p.USBOptions = USBOptions{Sys: dir + "/sys", Dev: dir + "/dev", Boot: "mmcblk0", Dir: dir + "/stick",
		Mount: func(device, at string) (func() error, error) {
			if _, err := os.Stat(device); err != nil {
				return nil, err
			}
			p.mounted++
			return func() error { p.mounted--; return os.Remove(at) }, os.Symlink(device, at)
		},
		// A bundle of this test: "good DATE" or anything else.
		Accept: func(ctx context.Context, b bundle.Source) (*bundle.Manifest, error) {
			r, err := b.Range(ctx, 0, 8)
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(r)
			if date, ok := strings.CutPrefix(string(text), "good "); ok {
				return &bundle.Manifest{Date: int64(date[0])}, err
			}
			return nil, fault.New(fault.Verify, "sign it", "%s is not signed", text)
		}}
	for _, name := range []string{"mmcblk0", "mmcblk0/mmcblk0p4", "loop0", "zram0"} {
		p.device(name)
	}
	return p
}

// device adds a block device; DISK/PART is a partition.
func (p *plugged) device(name string) {
	base := filepath.Base(name)
	real := filepath.Join(p.Sys, "devices", name)
	link := filepath.Join(p.Sys, "class/block", base)
	err := errors.Join(os.MkdirAll(real, 0o755), os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(real, link))
	if base != name {
		err = errors.Join(err, os.WriteFile(real+"/partition", []byte("1\n"), 0o644))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// file puts a file on the stick, written some minutes after another one.
func (p *plugged) file(device, name, content string, minutes int) {
	path := filepath.Join(p.Dev, device, name)
	when := time.Unix(1e9, 0).Add(time.Duration(minutes) * time.Minute)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, when, when)); err != nil {
		p.t.Fatal(err)
	}
}

func TestUSB(t *testing.T) {
	p := plug(t)
	_, err := OpenUSB(t.Context(), p.USBOptions)
	wantKind(t, "no stick", err, fault.Device)
	p.device("sda")
	p.device("sda/sda1")
	p.device("sdb") // a file system without a partition table
	if got := sticks(p.USBOptions); !slices.Equal(got, []string{"sda1", "sdb"}) {
		t.Errorf("sticks: got %q", got)
	}
	p.file("sda1", "notes.txt", "x", 0)
	_, err = OpenUSB(t.Context(), p.USBOptions)
	wantKind(t, "no bundle", err, fault.Input)
	p.file("sda1", "bad.upgrade", "nonsense", 9)
	p.file("sda1", ".hidden.upgrade", "good 9..", 9)
	_, err = OpenUSB(t.Context(), p.USBOptions)
	wantKind(t, "unsigned", err, fault.Verify)
	p.file("mmcblk0p4", "own.upgrade", "good 9..", 9)
	p.file("sda1", "one.upgrade", "good 3..", 5)
	p.file("sda1", "TWO.UPGRADE", "good 3.!", 6)
	p.file("sdb", "three.upgrade", "good 2..", 9)
	u, err := OpenUSB(t.Context(), p.USBOptions)
	if err != nil {
		t.Fatal(err)
	}
	if u.Device != "sda1" || u.Name != "TWO.UPGRADE" || p.mounted != 1 {
		t.Errorf("got %s on %s, %d mounts; want TWO.UPGRADE on sda1, 1", u.Name, u.Device, p.mounted)
	}
	if got, err := bundle.Read(t.Context(), u, 0, 8); err != nil || string(got) != "good 3.!" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := u.Close(); err != nil || p.mounted != 0 {
		t.Errorf("%v, %d mounts left, want 0", err, p.mounted)
	}
}
