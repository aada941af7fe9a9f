package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fatfile"
	"imgbuild/qemu/vm"
)

// diskSize lets the first boot enlarge the data partition.
const diskSize = 2304 << 20

// patience is for one event of a guest; it only ends what hangs.
const patience = 4 * time.Minute

// states are the node's own files that the writer acknowledges: the node's identity and
// configuration.
var states = []string{
	"/k3os/config/system.yaml", "/var/lib/shelf/machine-id",
	"/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key", "/var/lib/rancher/k3os/ssh/ssh_host_ecdsa_key",
}

// Recording is the log of a disk's writes over some boots of a node, and the image that it began
// with.
type Recording struct {
	Image, Log string
	Entries    []Entry
	Marks      []Mark
	First      int // entry from which on Linux runs: what U-Boot writes alone is explored elsewhere
}

// cloudConfig is the node's: a secret to import, and a service that keeps the log busy.
func cloudConfig(public string) string {
	return fmt.Sprintf(`hostname: shelf-crash
ssh_authorized_keys:
- %s
k3os:
  server_url: https://10.0.2.2:16443
  token: %s
services:
  chatter:
    command: "while sleep 1; do seq 100000 101000; done"
`, public, Secret)
}

// build makes the image by the public command.
func build(ctx context.Context, program, dir, public string) (string, error) {
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte(cloudConfig(public)), 0o600); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "image")
	if err := os.RemoveAll(out); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, "board=qemu-arm64", "role=worker", "k3s=none", "pack=no", "config="+config, "out="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("imgbuild: %w\n%s", err, text)
	}
	images, err := filepath.Glob(filepath.Join(out, "*.img"))
	if err != nil || len(images) != 1 {
		return "", fmt.Errorf("imgbuild left %d images in %s: %v", len(images), out, err)
	}
	return images[0], nil
}

// Record runs a node: its first boot, then as many further ones, each with a load of operations.
// The power goes between them, except for every second time, when the node reboots in order; so
// recovery is in the log as well.
func Record(ctx context.Context, image string, key ssh.Signer, dir string, boots, operations int, say func(string, ...any)) error {
	program, err := vm.Program(ctx, "imgbuild/qemu/long/crash/writer", filepath.Join(dir, "writer"))
	if err != nil {
		return err
	}
	guest, err := vm.Start(ctx, vm.Options{Image: image, Dir: dir, Name: "recorded", Machine: "virt", Size: diskSize, Log: filepath.Join(dir, "writes.log")})
	if err != nil {
		return err
	}
	defer os.Remove(guest.Disk)
	defer guest.Stop()
	start := time.Now()
	for boot := range boots {
		if err := ready(ctx, guest); err != nil {
			return err
		}
		say("boot %d of %d is up after %.0f s", boot+1, boots, time.Since(start).Seconds())
		err := func() error {
			ctx, stop := context.WithTimeout(ctx, patience)
			defer stop()
			sh, err := guest.SSH(ctx, "rancher", key)
			if err != nil {
				return err
			}
			defer sh.Close()
			if boot == 0 {
				if _, err := sh.RunInput(ctx, "sudo sh -c 'cat > /var/local/writer && chmod 755 /var/local/writer && sync'", program); err != nil {
					return err
				}
			}
			_, err = sh.Run(ctx, fmt.Sprintf("sudo /var/local/writer /dev/vda %d %s", operations, strings.Join(states, " ")))
			if err == nil && boot%2 == 1 && boot+1 < boots {
				_, _ = sh.Run(ctx, "sudo shelf reboot") // the connection may go before the status comes
			}
			return err
		}()
		if err != nil {
			return err
		}
		if boot%2 == 0 && boot+1 < boots {
			if err := guest.Reset(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ready waits until a node is up with its data.
func ready(ctx context.Context, guest *vm.VM) error {
	m, err := guest.Expect(ctx, `shelf: (ready|going on without the data partition)`, patience)
	if err == nil && m[1] != "ready" {
		err = fmt.Errorf("the node is up without its data:\n%s", tail(guest.Output(), 30))
	}
	return err
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Load reads a recording, and refuses one in which anything was written that must not be: the
// slots, and of BOOT all but the content of the files that the node writes in place.
func Load(image, log string) (*Recording, map[string]int64, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, nil, err
	}
	r := &Recording{Image: image, Log: log}
	if r.Entries, err = ReadLog(f, size); err != nil {
		return nil, nil, err
	}
	if r.Marks, err = ReadMarks(f, r.Entries); err != nil {
		return nil, nil, err
	}
	if len(r.Marks) == 0 {
		return nil, nil, fmt.Errorf("the log of %d entries has no mark: nothing is acknowledged", len(r.Entries))
	}
	places, err := places(image)
	if err != nil {
		return nil, nil, err
	}
	areas, stray := Areas(r.Entries, places)
	if stray != "" {
		return nil, nil, fmt.Errorf("%d bytes go where nothing may be written: %s", areas[""], stray)
	}
	for r.First = 0; r.First < len(r.Entries) && r.Entries[r.First].Size > 0; r.First++ { // U-Boot knows no flush
	}
	return r, areas, nil
}

// places names the part of the disk that a sector belongs to; "" is where a node never writes. The
// kernel writes whole pages around the partition table and around what changes in a file on BOOT.
func places(image string) (func(offset int64) string, error) {
	f, err := os.Open(image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type place struct {
		name     string
		from, to int64
	}
	all := []place{
		{"data", dataStart, diskSize}, {"marks", markArea, markArea + 4096}, {"partition table", 0, 4096},
		{"boot record", bootstate.Copy0, bootstate.Copy0 + bootstate.Size}, {"boot record", bootstate.Copy1, bootstate.Copy1 + bootstate.Size},
	}
	boot := io.NewSectionReader(f, bootStart, bootSize)
	for _, name := range []string{"config.yaml", "report.txt"} {
		pieces, _, err := fatfile.Locate(boot, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range pieces {
			all = append(all, place{"BOOT/" + name, bootStart + p.Offset&^4095, bootStart + (p.Offset+p.Size+4095)&^4095})
		}
	}
	return func(offset int64) string {
		for _, p := range all {
			if offset >= p.from && offset < p.to {
				return p.name
			}
		}
		return ""
	}, nil
}
