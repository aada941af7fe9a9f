package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	builder "imgbuild/builder/bundle"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/delta"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/upgrade/command"
	"imgbuild/qemu/vm"
)

// applyWord makes this program apply a bundle and end: BUNDLE, the image of the old slot, the file
// that gets the new one.
const applyWord = "apply-bundle"

// cost is what an upgrade took of the bundle.
type cost struct {
	delta.Result
	Head int64 // bytes of header, manifest, signature and index
	Peak int64 // most memory in use, in bytes
}

// wire is what goes over it.
func (c cost) wire() int64 { return c.Head + c.Delta + c.Fetched }

// applyApart applies a bundle as the node does, in a process of its own.
func applyApart(ctx context.Context, file, oldImage string) (c cost, u used, err error) {
	self, err := os.Executable()
	if err != nil {
		return c, u, err
	}
	out := file + ".slot"
	defer os.Remove(out)
	u, text, err := measure(exec.CommandContext(ctx, self, applyWord, file, oldImage, out))
	if err != nil {
		return c, u, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, u, err
	}
	// What wait4 reports of a child that was started by vfork has the peak of its parent in it.
	u.peak = c.Peak
	return c, u, nil
}

// peak reads the peak of a process from its /proc/PID/status, in bytes.
func peak(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no line VmHWM")
}

// applyHere is that process. It checks the slot that it made.
func applyHere(ctx context.Context, file, oldImage, out string) error {
	command.Frugal()
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	pub, err := os.ReadFile(filepath.Join(filepath.Dir(file), "key.pub"))
	if err != nil {
		return err
	}
	keys, err := bundle.ParseKeys(string(pub))
	if err != nil {
		return err
	}
	b, err := bundle.Open(ctx, builder.File{ReaderAt: f}, keys)
	if err != nil {
		return err
	}
	im, err := vm.OpenImage(oldImage)
	if err != nil {
		return err
	}
	defer im.Close()
	old := im.Partition(vm.SlotA)
	text, err := fatfile.ReadFile(old, manifest.Name)
	if err != nil {
		return err
	}
	slot, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer slot.Close()
	if err := slot.Truncate(b.Index.Size); err != nil {
		return err
	}
	var c cost
	if c.Result, err = delta.Apply(ctx, delta.Options{Bundle: b, Old: old, OldSum: sha256.Sum256(text), New: slot}); err != nil {
		return err
	}
	h := b.Header
	c.Head = bundle.HeaderSize + h.Manifest + h.Signature + h.Index
	if _, err := slot.WriteAt(c.First[:], 0); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(slot, 0, b.Index.Size)); err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != b.Manifest.Slot.SHA256 {
		return fmt.Errorf("the slot has the sha256 %s, signed is %s", got, b.Manifest.Slot.SHA256)
	}
	if c.Broken != nil {
		return fmt.Errorf("the delta was given up: %w", c.Broken)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if c.Peak, err = peak(status); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}
