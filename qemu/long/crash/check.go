package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/mbr"
	"imgbuild/init/disk"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

const (
	bootStart = diskmap.Boot
	bootSize  = diskmap.BootSize
	dataStart = diskmap.Data
)

// Secret is in the configuration on BOOT when the node boots first. It is to be on BOOT or on the
// data partition at every moment; both is what the import looks like half way.
const Secret = "K10crash::server:secret"

// Check returns what is wrong with the state of a disk. e2fsck works on a copy of the data
// partition, repairing it as the node would. An empty list is a good state; the error is about the
// check itself.
func Check(ctx context.Context, path string, due map[string]Mark) ([]string, error) {
	var bad []string
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read := func(at int64) []byte {
		b := make([]byte, 512)
		if _, rerr := f.ReadAt(b, at); rerr != nil {
			err = rerr
		}
		return b
	}
	table, terr := mbr.Decode(read(0))
	if terr != nil {
		wrong("partition table: %v", terr)
	} else if p := table.Partitions[disk.Data-1]; p.Start != disk.DataStart || p.Sectors == 0 || table.Partitions[disk.Boot-1].Start != bootStart/512 {
		wrong("partition table: %+v", table.Partitions)
	}
	if r, _, rerr := bootstate.Choose(read(bootstate.Copy0), read(bootstate.Copy1)); rerr != nil {
		wrong("%v", rerr)
	} else if r.Slot() != bootstate.A {
		wrong("boot record: slot %s is chosen, which is empty", r.Slot())
	}
	boot := io.NewSectionReader(f, bootStart, bootSize)
	onBoot, berr := fatfile.ReadFile(boot, "config.yaml")
	if berr != nil {
		wrong("BOOT: config.yaml: %v", berr)
	}
	for _, name := range []string{"boot.scr", "report.txt", "config.d/00-image.yaml"} {
		if _, berr := fatfile.ReadFile(boot, name); berr != nil {
			wrong("BOOT: %s: %v", name, berr)
		}
	}
	if err != nil {
		return nil, err
	}
	// A file of its own: e2fsck forgets an offset when it has recovered the journal. It is as long
	// as the partition, so that a file system that is longer shows.
	data := path + ".p4"
	defer os.Remove(data)
	_ = os.Remove(data)
	size := int64(table.Partitions[disk.Data-1].Sectors) * mbr.SectorSize
	if err := vm.CopyPart(data, path, dataStart, size, size); err != nil {
		return nil, err
	}
	problems, err := fsck(ctx, data)
	if err != nil {
		return nil, err
	}
	bad = append(bad, problems...)
	const imported = "/k3os/config/system.yaml"
	files, err := dump(ctx, data, append(slices.Sorted(maps.Keys(due)), imported))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(onBoot, []byte(Secret)) && !bytes.Contains(files[imported], []byte(Secret)) {
		wrong("import: the secret is neither on BOOT nor on the data partition")
	}
	for _, name := range slices.Sorted(maps.Keys(due)) {
		if why := due[name].lost(files[name]); why != "" {
			wrong("acknowledged and lost: %s: %s", name, why)
		}
	}
	return bad, nil
}

// lost returns what is missing of what was acknowledged; data is nil if the file is not there.
func (m Mark) lost(data []byte) string {
	switch {
	case data == nil:
		return "it is not there"
	case m.SHA256 != "":
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.SHA256 {
			return fmt.Sprintf("%d bytes of other content", len(data))
		}
	case m.Size > 0:
		if int64(len(data)) < m.Size {
			return fmt.Sprintf("%d bytes of %d", len(data), m.Size)
		}
		if i := bytes.IndexByte(data[:m.Size], 0); i >= 0 {
			return fmt.Sprintf("a hole at %d", i)
		}
	default:
		head, body, _ := bytes.Cut(data, []byte("\n"))
		var seq int
		var sum string
		if _, err := fmt.Sscanf(string(head), "seq %d sha256 %s", &seq, &sum); err != nil {
			return "it is torn"
		}
		if have := sha256.Sum256(body); hex.EncodeToString(have[:]) != sum {
			return fmt.Sprintf("number %d is torn", seq)
		}
		if seq < m.Seq {
			return fmt.Sprintf("number %d instead of %d", seq, m.Seq)
		}
	}
	return ""
}

// fsck lets e2fsck do what it may do without a person, as the node does at its boot, but look at
// everything; after that nothing may be left.
func fsck(ctx context.Context, path string) ([]string, error) {
	var bad []string
	for _, mode := range []string{"-fp", "-fn"} {
		cmd, err := tool.Command(ctx, "e2fsck", mode, path)
		if err != nil {
			return nil, err
		}
		out, err := cmd.CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			return nil, err
		}
		if code > 1 || code == 1 && mode == "-fn" {
			bad = append(bad, fmt.Sprintf("e2fsck %s: exit code %d: %s", mode, code, strings.Join(strings.Fields(string(out)), " ")))
		}
	}
	return bad, nil
}

// dump reads files of the data partition by their names on the node; what is not there is not in
// the map.
func dump(ctx context.Context, path string, names []string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), "dump-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var commands strings.Builder
	for i, name := range names {
		if !strings.HasPrefix(name, "/k3os/") {
			name = "/k3os/data" + name
		}
		fmt.Fprintf(&commands, "dump %s %s/%d\n", name, dir, i)
	}
	script := filepath.Join(dir, "commands")
	if err := os.WriteFile(script, []byte(commands.String()), 0o600); err != nil {
		return nil, err
	}
	cmd, err := tool.Command(ctx, "debugfs", "-f", script, path)
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("debugfs: %w: %s", err, out)
	}
	files := map[string][]byte{}
	for i, name := range names {
		data, err := os.ReadFile(fmt.Sprintf("%s/%d", dir, i))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = append([]byte{}, data...)
	}
	return files, nil
}
