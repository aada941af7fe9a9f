// Command nfsd is the /init of an NFS server for tests: the kernel's own nfsd with the programs of Debian's nfs-kernel-server, a disk to
// serve, and orders that are typed on its console, one word a line. It answers each with a line of its own.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"imgbuild/init/module"
)

// What is served, where, and to whom.
const (
	disk    = "/dev/vda"
	root    = "/srv/nas"
	share   = root + "/shelf"
	address = "10.9.0.2/24"
	exports = share + " 10.9.0.1(rw,sync,no_subtree_check)\n" // as a NAS does: root of the client is nobody here
	nobody  = 65534
)

func main() {
	if err := setUp(); err != nil {
		fmt.Println("nfsd: it does not start:", err)
	} else {
		fmt.Println("nfsd: serving")
		obey()
	}
	unix.Sync()
	_ = unix.Unmount(root, 0)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// obey does orders until one says off.
func obey() {
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		word := strings.TrimSpace(orders.Text())
		if word == "off" {
			_ = run("rpc.nfsd", "0")
			_ = run("exportfs", "-ua")
			return
		}
		do := map[string]func() error{
			"stop":  func() error { return run("rpc.nfsd", "0") },
			"start": func() error { return serve() },
			"close": func() error { return os.Chown(share, 0, 0) }, // nobody may write
			"open":  func() error { return os.Chown(share, nobody, nobody) },
			"fill":  fill,
			"empty": func() error { return os.Remove(root + "/full") },
			"list":  list,
		}[word]
		if do == nil {
			continue
		}
		if err := do(); err != nil {
			fmt.Printf("nfsd: %s: %v\n", word, err)
			continue
		}
		fmt.Printf("nfsd: done %s\n", word)
	}
}

func setUp() error {
	for _, m := range []struct{ what, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.what, m.at, m.what, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	if err := modules("virtio_pci", "virtio_net", "virtio_blk", "crc32c_generic", "ext4", "nfsd"); err != nil {
		return err
	}
	if err := network(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	for _, dir := range []string{root, "/var/lib/nfs/rpc_pipefs", "/var/lib/nfs/v4recovery"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for what, at := range map[string]string{"nfsd": "/proc/fs/nfsd", "rpc_pipefs": "/var/lib/nfs/rpc_pipefs"} {
		if err := unix.Mount(what, at, what, 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", at, err)
		}
	}
	if err := unix.Mount(disk, root, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", disk, err)
	}
	if err := os.MkdirAll(share, 0o755); err != nil {
		return err
	}
	if err := os.Chown(share, nobody, nobody); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"/etc/exports": exports, "/etc/passwd": "root:x:0:0::/:/none\nnobody:x:65534:65534::/:/none\n", "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n", "/etc/hosts": "127.0.0.1 localhost\n10.9.0.1 node\n10.9.0.2 nas\n",
		"/var/lib/nfs/etab": "", "/var/lib/nfs/rmtab": "",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := run("exportfs", "-ra"); err != nil {
		return err
	}
	// It answers the kernel's questions as to who may have what.
	asked := exec.Command("/usr/sbin/rpc.mountd", "--foreground", "--no-nfs-version", "3")
	asked.Stdout, asked.Stderr = os.Stdout, os.Stderr
	if err := asked.Start(); err != nil {
		return err
	}
	return serve()
}

// serve starts the kernel's threads. Clients of an earlier life have 10 s to come back, not 90.
func serve() error {
	return run("rpc.nfsd", "--no-nfs-version", "3", "--lease-time", "10", "--grace-time", "10", "2")
}

func run(name string, args ...string) error {
	out, err := exec.Command("/usr/sbin/"+name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

func modules(names ...string) error {
	x, err := module.Open("/usr/lib/modules/" + module.Release())
	if err != nil {
		return err
	}
	l := module.NewLoader(x)
	for _, name := range names {
		if err := l.Load(name); err != nil {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	return nil
}

// network gives the one card its address.
func network() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		if l.Attrs().Name != "lo" && l.Type() == "device" {
			if err := netlink.AddrAdd(l, addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill leaves no room on the disk.
func fill() error {
	f, err := os.Create(root + "/full")
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return f.Sync()
		} else if err != nil {
			return err
		}
	}
}

// list prints what is in the share.
func list() error {
	names, err := filepath.Glob(share + "/*")
	hidden, _ := filepath.Glob(share + "/.[a-z]*")
	for _, name := range append(names, hidden...) {
		fmt.Println("nfsd: has", filepath.Base(name))
	}
	return err
}
