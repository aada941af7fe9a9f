// Package vm runs a disk image in QEMU the way the firmware of its board would: U-Boot or the
// slot's kernel, the image's own copy as disk, a console that can be waited on, ssh through a
// forwarded port.
//
// `imgbuild run` and the boot tests use it alike. The image itself is never written; nothing
// outlives Stop, the context or the calling process.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/mbr"
	"imgbuild/qemu/tool"
)

// Host is how a guest of QEMU's user network reaches services on this host's loopback.
const Host = "10.0.2.2"

// Options are what to run. The zero value of each field but Image and Dir is a sensible one.
type Options struct {
	Image   string    // disk image; "" = no disk, Machine and Args are what to run
	Dir     string    // existing directory for the copy and the files given to QEMU
	Name    string    // of this guest, in messages and file names; "" = guest
	Machine string    // of Machines(); "" = the first that runs the image's architecture
	Board   string    // for the command line of a direct boot; "" = from BOOT/config.d/00-image.yaml
	Direct  bool      // start the kernel of slot A without U-Boot
	Append  string    // more words for the kernel's command line, with Direct alone
	Private bool      // the copy has no name: nothing of it outlives the guest, whatever ends this process
	Kept    bool      // Image is used as it is and written to: a disk that an earlier guest left
	Size    int64     // bytes of the disk as the guest sees it; smaller than the image = as the image
	Log     string    // gets every write and flush of the disk in QEMU's blklogwrites form, the guest's cache being lost with it; "" = none
	Memory  int       // MiB
	Clock   string    // start of the real time clock; "" = 1970-01-01, as on a board that has none
	Offline bool      // no card on QEMU's user network (DHCP, the host's loopback)
	Links   []*Link   // cables to other guests or a LAN, each with a card of its own after the first
	Ports   []int     // TCP ports of the guest to forward next to 22
	Console io.Writer // gets every byte of the console as it comes
	Input   io.Reader // typed on the console
	Args    []string  // more arguments for QEMU
}

// VM is a running guest.
type VM struct {
	Name    string
	Disk    string         // the copy of the image that it writes to
	Forward map[int]string // guest port -> host:port
	Entered time.Time      // when the processor was let go, which enters a kernel without firmware directly
	cmd     *exec.Cmd
	private *atomicfile.File // the copy, where Options.Private asks for it; QEMU inherits it
	console *console
	input   io.WriteCloser
	qmp     *qmp
	done    chan struct{}
	err     error // valid when done is closed
}

// Start starts a guest; cancelling ctx kills it.
func Start(ctx context.Context, o Options) (*VM, error) {
	if o.Name == "" {
		o.Name = "guest"
	}
	v := &VM{Name: o.Name, Forward: map[int]string{}, console: newConsole(o.Console), done: make(chan struct{})}
	m, args, err := v.arguments(ctx, o)
	if v.private != nil {
		defer v.private.Close()
	}
	if err != nil {
		return nil, err
	}
	path, err := tool.Find(ctx, m.Program, m.Least)
	if err != nil {
		return nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "qmp"), os.NewFile(uintptr(fds[1]), "qmp")
	defer theirs.Close()
	v.cmd = exec.CommandContext(ctx, path, args...)
	v.cmd.ExtraFiles = []*os.File{theirs} // becomes descriptor 3
	for _, l := range o.Links {
		v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, l.end) // from 4 on
		defer l.Close()
	}
	if v.private != nil {
		v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, v.private.File)
	}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v.cmd.Stdout, v.cmd.Stderr = v.console, v.console
	if v.input, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		ours.Close()
		return nil, fault.Wrap(err, fault.Internal, "", "starting %s", m.Program)
	}
	go func() {
		v.err = v.cmd.Wait()
		ours.Close()
		v.console.end()
		close(v.done)
	}()
	if o.Input != nil {
		go io.Copy(v.input, o.Input)
	}
	v.qmp = newQMP(ours)
	if err := v.ready(o); err != nil {
		v.Stop()
		return nil, fmt.Errorf("starting %s: %w; it prints:\n%s", o.Name, err, lastLines(v.Output(), 20))
	}
	return v, nil
}

// ready ends QMP's negotiation, reads the ports that QEMU chose and lets the guest run.
func (v *VM) ready(o Options) error {
	if err := v.qmp.do("qmp_capabilities", nil, nil); err != nil {
		return err
	}
	if !o.Offline {
		var table string
		if err := v.qmp.do("human-monitor-command", map[string]any{"command-line": "info usernet"}, &table); err != nil {
			return err
		}
		for _, m := range forwarded.FindAllStringSubmatch(table, -1) {
			port, _ := strconv.Atoi(m[2])
			v.Forward[port] = "127.0.0.1:" + m[1]
		}
	}
	v.Entered = time.Now()
	return v.qmp.do("cont", nil, nil)
}

// forwarded matches a line of QEMU's `info usernet`: protocol, descriptor, source address and port,
// destination address and port.
var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+(\d+)`)

// arguments puts QEMU's command line together and puts the files that it names into o.Dir.
func (v *VM) arguments(ctx context.Context, o Options) (Machine, []string, error) {
	var im *Image
	var arch string
	if o.Image != "" {
		var err error
		if im, err = OpenImage(o.Image); err != nil {
			return Machine{}, nil, err
		}
		defer im.Close()
		if arch, err = im.Arch(); err != nil && o.Machine == "" {
			return Machine{}, nil, err
		}
	}
	m, err := machine(o.Machine, arch)
	if err != nil {
		return m, nil, err
	}
	if o.Memory == 0 || m.Fixed {
		o.Memory = m.Memory
	}
	if o.Clock == "" {
		o.Clock = "1970-01-01"
	}
	args := append([]string{}, m.Args...)
	args = append(args, "-m", strconv.Itoa(o.Memory), "-nodefaults", "-no-user-config", "-display", "none", "-S", "-rtc", "base="+o.Clock,
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control")
	for range m.Serial {
		args = append(args, "-serial", "null")
	}
	args = append(args, "-serial", "stdio")
	args = append(args, m.Extra...)
	if im != nil {
		disk, err := v.disk(o, m, im)
		if err != nil {
			return m, nil, err
		}
		boot, err := firmware(ctx, o, m, im)
		if err != nil {
			return m, nil, err
		}
		args = append(append(args, disk...), boot...)
	}
	if m.NIC != "" {
		args = append(args, v.network(o, m)...)
	}
	return m, append(args, o.Args...), nil
}

// disk makes the copy that the guest writes to. Its writes go to the host's page cache: a test disk
// need not survive the host.
func (v *VM) disk(o Options, m Machine, im *Image) ([]string, error) {
	size := max(o.Size, im.size)
	if m.PowerOfTwoDisk {
		for o.Size = 1; o.Size < size; {
			o.Size <<= 1
		}
		size = o.Size
	}
	v.Disk = o.Image
	var inherited string
	if !o.Kept {
		v.Disk = filepath.Join(o.Dir, o.Name+".img")
		var err error
		if o.Private {
			if v.private, err = atomicfile.Create(o.Dir, 0o600); err == nil {
				v.Disk = v.private.Path()
				inherited = fmt.Sprintf("/proc/self/fd/%d", 4+len(o.Links))
				err = copyInto(v.private.File, o.Image, 0, -1, size)
			}
		} else {
			err = Copy(v.Disk, o.Image, size)
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Device, "", "copying the image to %s", o.Dir)
		}
		if o.Direct {
			if err := growData(v.Disk, im.Table.Signature); err != nil {
				return nil, fault.Wrap(err, fault.Device, "", "enlarging the guest's disk")
			}
		}
	}
	if o.Log != "" {
		return logged(v.Disk, o.Log, m)
	}
	name := v.Disk
	if inherited != "" {
		name = inherited
	}
	drive := "file=" + strings.ReplaceAll(name, ",", ",,") + ",format=raw,id=disk,cache=unsafe,if=" + m.Drive
	return append([]string{"-drive", drive}, m.Disk...), nil
}

// growData makes partition 4 of a disk as large as the first boot would, and keeps the signature: a
// kernel that is started directly gets the same command line at every reboot, and would not find a
// disk again with another one.
func growData(path string, signature uint32) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const eraseBlock = 4 << 20 / mbr.SectorSize // as init/disk grows it; docs/disk.md
	sector := make([]byte, mbr.SectorSize)
	if _, err := f.ReadAt(sector, 0); err != nil {
		return err
	}
	grown, err := mbr.Grow(sector, Data, uint64(info.Size())/mbr.SectorSize, eraseBlock, signature)
	if err != nil || grown == nil {
		return err
	}
	_, err = f.WriteAt(grown, 0)
	return err
}

// logged returns a disk with a write cache, whose writes and flushes are logged in the order in
// which they complete. The log is made again. Discards are switched off: the log has no word for
// them.
func logged(drive, log string, m Machine) ([]string, error) {
	if m.Drive != "none" {
		return nil, fault.New(fault.Usage, "", "the machine %s has no disk whose writes can be logged", m.Name)
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		return nil, err
	}
	escape := func(path string) string { return strings.ReplaceAll(path, ",", ",,") }
	args := []string{
		"-blockdev", "driver=file,node-name=plain,cache.no-flush=on,filename=" + escape(drive),
		"-blockdev", "driver=file,node-name=log,cache.no-flush=on,filename=" + escape(log),
		"-blockdev", "driver=blklogwrites,node-name=disk,file=plain,log=log,log-sector-size=512,log-super-update-interval=1",
	}
	args = append(args, m.Disk...)
	args[len(args)-1] += ",write-cache=on,discard=off,write-zeroes=off"
	return args, nil
}

// firmware returns the arguments that start U-Boot or, directly, the kernel of slot A.
func firmware(ctx context.Context, o Options, m Machine, im *Image) (args []string, err error) {
	lay := func(name string, data []byte, err error) (string, error) {
		path := filepath.Join(o.Dir, o.Name+"-"+name)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		return path, err
	}
	add := func(flag, name string, data []byte, err2 error) {
		path, err2 := lay(name, data, err2)
		args, err = append(args, flag, path), errors.Join(err, err2)
	}
	if m.DTB != "" {
		data, err := im.ReadFile(Boot, m.DTB)
		add("-dtb", m.DTB, data, err)
	}
	switch {
	case o.Direct:
		board := o.Board
		if board == "" {
			board = im.Board()
		}
		kernel, err := im.Kernel(SlotA)
		add("-kernel", "kernel", kernel, err)
		initrd, err := im.ReadFile(SlotA, manifest.InitrdName)
		add("-initrd", "initramfs", initrd, err)
		args = append(args, "-append", strings.TrimSpace(im.CommandLine(board, m.Console)+" "+o.Append))
	case m.Kernel != "":
		data, err := im.ReadFile(Boot, m.Kernel)
		add("-kernel", m.Kernel, data, err)
	default:
		path, err2 := tool.File(ctx, m.Package, m.File)
		args, err = append(args, "-bios", path), errors.Join(err, err2)
	}
	return args, err
}

// network returns the card on QEMU's user network and those on cables. The user network has DHCP,
// and the host's loopback as 10.0.2.2.
func (v *VM) network(o Options, m Machine) (args []string) {
	if !o.Offline {
		user := "user,id=user"
		for _, port := range append([]int{22}, o.Ports...) {
			user += ",hostfwd=tcp:127.0.0.1:0-:" + strconv.Itoa(port) // QEMU picks a free port
		}
		args = append(args, "-netdev", user, "-device", m.NIC+",netdev=user,mac=52:54:00:12:34:56")
	}
	for i, l := range o.Links {
		args = append(args, "-netdev", fmt.Sprintf("socket,id=link%d,fd=%d", i, 4+i), "-device", fmt.Sprintf("%s,netdev=link%d,mac=%s", m.NIC, i, l.MAC))
	}
	return args
}

// Expect waits for the first match of a regular expression on the console after the last match, and
// returns its groups. The error names what was waited for and shows the console's last lines; it
// comes early when the guest panics or QEMU ends.
func (v *VM) Expect(ctx context.Context, pattern string, limit time.Duration) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return v.console.expect(ctx, re, limit)
}

// Output is everything that the console printed, without carriage returns and escapes.
func (v *VM) Output() string { return v.console.output() }

// Type types on the console.
func (v *VM) Type(s string) error {
	_, err := io.WriteString(v.input, s)
	return err
}

// Reset pulls the reset line: no shutdown, as when the watchdog barks.
func (v *VM) Reset() error { return v.qmp.do("system_reset", nil, nil) }

// SetLink pulls the cable of Links[i] or puts it back.
func (v *VM) SetLink(i int, up bool) error {
	return v.qmp.do("set_link", map[string]any{"name": fmt.Sprintf("link%d", i), "up": up}, nil)
}

// Wait waits until the guest has powered off or QEMU ended otherwise.
func (v *VM) Wait(ctx context.Context) error {
	select {
	case <-v.done:
		return v.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends QEMU immediately, without a shutdown of the guest; it returns when QEMU is gone.
func (v *VM) Stop() {
	if v.cmd == nil || v.cmd.Process == nil {
		return
	}
	v.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-v.done:
	case <-time.After(10 * time.Second):
		v.cmd.Process.Kill()
		<-v.done
	}
}
