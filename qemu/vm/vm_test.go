package vm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"imgbuild/init/contract/mbr"
	"imgbuild/qemu/tool"
)

func TestConsole(t *testing.T) {
	c := newConsole(nil)
	for _, piece := range []string{"U-Boot\r\n\x1b[2", "J\x1b[1;1Hab", "c\x1b(", "Bd\x00\r\nnext"} {
		c.Write([]byte(piece))
	}
	if got, want := c.output(), "U-Boot\nabcBd\nnext"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExpect(t *testing.T) {
	c := newConsole(nil)
	ctx := t.Context()
	go c.Write([]byte("step one ok\nstep two ok\n"))
	for _, want := range []string{"one", "two"} { // each match starts after the last one
		m, err := c.expect(ctx, regexp.MustCompile(`step (\w+) ok`), time.Minute)
		if err != nil || m[1] != want {
			t.Fatalf("%q, %v", m, err)
		}
	}
	if _, err := c.expect(ctx, regexp.MustCompile("step"), time.Millisecond); err == nil || !strings.Contains(err.Error(), "step two ok") {
		t.Errorf("a limit that is over: %v", err)
	}
	go c.Write([]byte("Kernel panic - not syncing: no init\n"))
	if _, err := c.expect(ctx, regexp.MustCompile("login"), time.Minute); err == nil || !strings.Contains(err.Error(), "no init") {
		t.Errorf("a panic: %v", err)
	}
	c = newConsole(nil)
	c.Write([]byte("Kernel panic - not syncing: Attempted to"))
	if _, err := c.expect(ctx, regexp.MustCompile("kill init!"), time.Millisecond); err == nil || strings.Contains(err.Error(), "the guest prints") {
		t.Errorf("half a line: %v", err)
	}
	c.Write([]byte(" kill init! exitcode=0x00000200\n"))
	if _, err := c.expect(ctx, regexp.MustCompile("kill init!"), time.Minute); err != nil {
		t.Errorf("a panic that is waited for: %v", err)
	}
	c = newConsole(nil)
	go c.end()
	if _, err := c.expect(ctx, regexp.MustCompile("login"), time.Minute); err == nil || !strings.Contains(err.Error(), "QEMU ended") {
		t.Errorf("the end: %v", err)
	}
}

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	rand.Read(block)
	f.WriteAt(block, 1<<20)
	f.WriteAt(block, 300<<20)
	f.Truncate(400 << 20)
	f.Close()
	if err := Copy(dst, src, 1<<30); err != nil {
		t.Fatal(err)
	}
	out, err := os.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, at := range []int64{1 << 20, 300 << 20} {
		got := make([]byte, len(block))
		if _, err := out.ReadAt(got, at); err != nil || !bytes.Equal(got, block) {
			t.Errorf("at %d: %v", at, err)
		}
	}
	st, _ := out.Stat()
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; st.Size() != 1<<30 || used > 8<<20 {
		t.Errorf("%d bytes, %d on disk", st.Size(), used)
	}
	if err := Copy(dst, src, 0); err == nil {
		t.Error("it overwrites a file")
	}
}

func TestUnknownMachine(t *testing.T) {
	if _, err := machine("pdp11", ""); err == nil || !strings.Contains(err.Error(), "virt") {
		t.Errorf("got %v", err)
	}
	if m, err := machine("", "armhf"); err != nil || m.Name != "virt-arm" {
		t.Errorf("got %v %v", m, err)
	}
}

func TestNoImage(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.img")
	os.WriteFile(name, bytes.Repeat([]byte("x"), 4096), 0o600)
	if _, err := Start(t.Context(), Options{Image: name, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "not a disk image") {
		t.Errorf("got %v", err)
	}
}

// TestUBoot drives Debian's U-Boot by hand: console both ways, reset, power off, and nothing left
// when the context ends.
func TestUBoot(t *testing.T) {
	bios, err := tool.File(t.Context(), "u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var copyOf bytes.Buffer
	start := func() *VM {
		v, err := Start(ctx, Options{Machine: "virt", Dir: t.TempDir(), Memory: 256, Args: []string{"-bios", bios}, Console: &copyOf, Ports: []int{6443}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Stop)
		return v
	}
	expect := func(v *VM, pattern string) []string {
		t.Helper()
		m, err := v.Expect(ctx, pattern, 3*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	v := start()
	if !strings.HasPrefix(v.Forward[22], "127.0.0.1:") || v.Forward[6443] == v.Forward[22] || v.Forward[6443] == "" {
		t.Errorf("forwarded ports: %v", v.Forward)
	}
	expect(v, `U-Boot 20\d\d`)
	expect(v, `Hit any key`)
	v.Type("\n")
	expect(v, `=> `)
	v.Type("echo 4$stdin\n")
	expect(v, `\n4\w`)
	if err := v.Reset(); err != nil {
		t.Fatal(err)
	}
	expect(v, `U-Boot 20\d\d[\s\S]*Hit any key`)
	v.Type("\n")
	expect(v, `=> `)
	v.Type("poweroff\n")
	if err := v.Wait(ctx); err != nil {
		t.Errorf("power off: %v", err)
	}
	if !strings.Contains(copyOf.String(), "U-Boot") {
		t.Error("the console was not copied")
	}

	v = start()
	expect(v, `U-Boot`)
	cancel()
	<-v.done
	if _, err := v.Expect(t.Context(), "never", time.Minute); err == nil {
		t.Error("a dead guest goes on")
	}
}

// TestLink: two guests, one cable, neither started first nor last by design.
func TestLink(t *testing.T) {
	a, b, err := NewLink("52:54:00:00:01:01", "52:54:00:00:01:02")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go a.end.Write([]byte("ping"))
	got := make([]byte, 4)
	if _, err := io.ReadFull(b.end, got); err != nil || string(got) != "ping" {
		t.Errorf("%q %v", got, err)
	}
	a.Close()
}

// TestGrowData: a guest that is started directly finds nothing to change in its table, whose
// signature its command line names.
func TestGrowData(t *testing.T) {
	const size = 64 << 20
	table := mbr.Table{Signature: 0x1a2b3c4d, Partitions: [4]mbr.Partition{{Start: 8192, Sectors: 8192, Type: mbr.FAT32}, {}, {}, {Start: 16384, Sectors: 8192, Type: mbr.Linux}}}
	first, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, append(first[:], make([]byte, size-len(first))...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := growData(path, table.Signature); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mbr.Parse(data[:512])
	if err != nil || got.Signature != table.Signature || got.Partitions[3].End() != size/512 {
		t.Errorf("%+v %v", got, err)
	}
	if again, err := mbr.Grow(data[:512], Data, size/512, 8192, 7); again != nil || err != nil {
		t.Errorf("the node would change it still: %v: got %v, want nil", err, again)
	}
}

// TestUnplug: taking a device away ends when QEMU reports that it has gone, not when it has taken
// the request, and not with an event of another device or an earlier one of that name.
func TestUnplug(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	v := &VM{qmp: newQMP(ours)}
	lines := bufio.NewScanner(theirs)
	send := func(s string) {
		t.Helper()
		if _, err := io.WriteString(theirs, s+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		done := make(chan error, 1)
		go func() { done <- v.Unplug(t.Context(), "disk0") }()
		if !lines.Scan() || lines.Text() != `{"arguments":{"id":"disk0"},"execute":"device_del"}` {
			t.Fatalf("QEMU gets %s", lines.Text())
		}
		send(`{"return": {}}`)
		send(`{"event": "DEVICE_DELETED", "data": {"path": "/machine/peripheral/disk0/virtio-backend"}}`)
		send(`{"event": "DEVICE_DELETED", "data": {"device": "disk1", "path": "/machine/peripheral/disk1"}}`)
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		send(`{"event": "DEVICE_DELETED", "data": {"device": "disk0", "path": "/machine/peripheral/disk0"}}`)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- v.Unplug(t.Context(), "disk0") }()
	lines.Scan()
	send(`{"error": {"class": "DeviceNotFound", "desc": "Device 'disk0' not found"}}`)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "DeviceNotFound") {
		t.Errorf("a device that is not there: %v", err)
	}
	go func() { done <- v.Unplug(t.Context(), "disk0") }()
	lines.Scan()
	send(`{"return": {}}`)
	theirs.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "QEMU ended") {
		t.Errorf("QEMU's end: %v", err)
	}
}
