package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/builder/initramfs"
)

// handover writes the initramfs: the program of that name, and of the modules in dir those that a
// disk with ext4 needs.
func (b *bench) handover(ctx context.Context, out, dir string) error {
	program := out + "-init"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./qemu/long/bench/handover")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	list, err := order(filepath.Join(dir, "modules.dep"), "crc32c_generic", "virtio_blk", "ext4")
	if err != nil {
		return err
	}
	entries := []initramfs.Entry{{Path: "init", Mode: initramfs.Regular | 0o755, Data: data}}
	var names strings.Builder
	for _, name := range list {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintln(&names, "/"+path.Base(name))
		entries = append(entries, initramfs.Entry{Path: path.Base(name), Mode: initramfs.Regular | 0o644, Data: data})
	}
	entries = append(entries, initramfs.Entry{Path: "modules", Mode: initramfs.Regular | 0o644, Data: []byte(names.String())})
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := initramfs.Write(f, entries); err != nil {
		return err
	}
	return f.Close()
}

// order returns the files of modules and of all they depend on, dependencies first, out of
// modules.dep: a line is "FILE: DEPENDENCY...", the farthest dependency last.
func order(dep string, names ...string) (list []string, err error) {
	data, err := os.ReadFile(dep)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found := false
		for line := range strings.Lines(string(data)) {
			file, rest, _ := strings.Cut(line, ":")
			if path.Base(file) != name+".ko" {
				continue
			}
			found = true
			all := append([]string{file}, strings.Fields(rest)...)
			slices.Reverse(all)
			for _, m := range all {
				if !slices.Contains(list, m) {
					list = append(list, m)
				}
			}
		}
		if !found {
			return nil, fmt.Errorf("%s has no module %s", dep, name)
		}
	}
	return list, nil
}
