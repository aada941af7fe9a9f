// Package uevent receives the kernel's device events, for there is no udev on the node: new devices
// need their modules, a block device that was waited for appears, dm-verity reports that it read a
// bad block.
package uevent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/base/guard"

	"golang.org/x/sys/unix"
)

// Event is one message of the kernel: its variables, ACTION, DEVPATH, SUBSYSTEM, MODALIAS, DEVNAME
// and others.
type Event map[string]string

// Parse reads one netlink message: ACTION@DEVPATH, then NAME=VALUE strings, all ended by NUL.
// Anything else (udev's own begin with libudev) returns nil.
func Parse(msg []byte) Event {
	head, rest, ok := bytes.Cut(msg, []byte{0})
	if !ok || !bytes.Contains(head, []byte("@")) {
		return nil
	}
	ev := Event{}
	for _, line := range strings.Split(string(rest), "\x00") {
		if name, value, ok := strings.Cut(line, "="); ok && name != "" {
			ev[name] = value
		}
	}
	if ev["ACTION"] == "" {
		return nil
	}
	return ev
}

// Listen opens the kernel's event socket and calls handle for each event from one goroutine,
// for as long as the process lives. Events that come faster than handle works wait in a buffer of 4
// MiB.
func Listen(handle func(Event)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("device events: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("device events: %w", err)
	}
	guard.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err == unix.EINTR || err == unix.ENOBUFS {
				continue
			}
			if err != nil {
				return
			}
			// Only the kernel, port 0, is believed.
			if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
				continue
			}
			if ev := Parse(buf[:n]); ev != nil {
				handle(ev)
			}
		}
	})
	return nil
}

// Present returns the modaliases of all devices that are on a bus now, each once, sorted by bus and
// device. root is /sys. The flat lists of the buses are read, not the tree of all devices, which is
// many times larger.
func Present(root string) []string {
	var out []string
	seen := map[string]bool{}
	buf := make([]byte, 4096) // a page: the most that an attribute holds
	buses, _ := os.ReadDir(filepath.Join(root, "bus"))
	for _, bus := range buses {
		dir := filepath.Join(root, "bus", bus.Name(), "devices")
		devices, _ := os.ReadDir(dir)
		for _, d := range devices {
			if s := strings.TrimSpace(attribute(dir+"/"+d.Name()+"/modalias", buf)); s != "" && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// attribute reads a file of /sys with the fewest system calls: there are hundreds, and somebody
// waits for the boot.
func attribute(path string, buf []byte) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, buf)
	if err != nil || n < 0 {
		return ""
	}
	return string(buf[:n])
}
