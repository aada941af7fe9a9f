package scenarios

import (
	"debug/elf"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/builder/initramfs"
	"imgbuild/builder/kmod"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// nfsServer boots an NFS server on its end of a cable: Debian's kernel with nfsd, and what nfsd
// brings along. Its disk is at disk.
func nfsServer(t *testing.T, link *vm.Link, disk string) vm.Options {
	t.Helper()
	dir, err := tool.Packages(t.Context(), "nfsd", "arm64", []string{"linux-image-arm64", "nfs-kernel-server", "libtirpc-common"},
		[]string{"adduser", "initramfs-tools", "linux-base", "nfs-common", "rpcbind", "ucf", "keyutils", "python3", "init-system-helpers", "kmod", "apparmor", "debconf"})
	if err != nil {
		t.Fatal(err)
	}
	kernels, _ := filepath.Glob(dir + "/boot/vmlinuz-*")
	if len(kernels) != 1 {
		t.Fatalf("%d kernels in %s, want 1", len(kernels), dir)
	}
	files := map[string][]byte{}
	take := func(host, name string) {
		t.Helper()
		data, err := os.ReadFile(host)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	take(static(t, "arm64", "../fixtures/nfsd"), "init")
	for _, name := range []string{"netconfig", "protocols", "services", "rpc"} {
		if _, err := os.Stat(dir + "/etc/" + name); err == nil {
			take(dir+"/etc/"+name, "etc/"+name)
		}
	}
	const libs = "/usr/lib/aarch64-linux-gnu/"
	var programs func(host, name string)
	programs = func(host, name string) {
		if files[name] != nil {
			return
		}
		take(host, name)
		f, err := elf.Open(host)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		needs, err := f.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		for _, lib := range needs {
			programs(dir+libs+lib, libs[1:]+lib)
		}
	}
	for _, name := range []string{"rpc.nfsd", "rpc.mountd", "exportfs"} {
		programs(dir+"/usr/sbin/"+name, "usr/sbin/"+name)
	}
	take(dir+libs+"ld-linux-aarch64.so.1", "lib/ld-linux-aarch64.so.1")
	modules(t, dir, files)
	initrd := filepath.Join(t.TempDir(), "initrd")
	writeInitrd(t, initrd, files)
	return vm.Options{Name: "nas", Machine: "virt", Memory: 512, Offline: true, Links: []*vm.Link{link}, Args: []string{
		"-kernel", kernels[0], "-initrd", initrd, "-append", "console=ttyAMA0 panic=-1 quiet",
		"-drive", "file=" + disk + ",format=raw,if=none,id=nas,cache=unsafe", "-device", "virtio-blk-pci,drive=nas",
	}}
}

// modules adds what nfsd and its disk and card need of the kernel package in dir, with an index.
func modules(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	roots, _ := filepath.Glob(dir + "/usr/lib/modules/*")
	if len(roots) != 1 {
		t.Fatalf("%d sets of modules in %s, want 1", len(roots), dir)
	}
	var all []kmod.File
	var lists kmod.Lists
	err := filepath.WalkDir(roots[0], func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(name, ".ko") {
			rel, _ := filepath.Rel(roots[0], name)
			all = append(all, kmod.File{Path: rel, Open: func() (io.ReadCloser, error) { return os.Open(name) }})
		}
		return err
	})
	if err == nil {
		lists.Builtin, err = os.ReadFile(roots[0] + "/modules.builtin")
	}
	if err == nil {
		lists.BuiltinModinfo, err = os.ReadFile(roots[0] + "/modules.builtin.modinfo")
	}
	if err != nil {
		t.Fatal(err)
	}
	set, err := kmod.NewSet(all, lists)
	if err != nil {
		t.Fatal(err)
	}
	closure, missing, err := set.Closure([]string{"virtio_pci", "virtio_net", "virtio_blk", "ext4", "nfsd"})
	if err != nil || missing != nil {
		t.Fatalf("got %v, %v, want nil", missing, err)
	}
	under := "usr/lib/modules/" + filepath.Base(roots[0]) + "/"
	for _, m := range closure {
		f, _ := set.File(m.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err == nil {
			data, err = kmod.Decompress(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		files[under+m.Path] = data
	}
	index, err := set.Index(closure)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range index {
		files[under+name] = data
	}
}

// writeInitrd writes files, with the directories above them.
func writeInitrd(t *testing.T, to string, files map[string][]byte) {
	t.Helper()
	dirs := map[string]bool{}
	var entries []initramfs.Entry
	for name, data := range files {
		entries = append(entries, initramfs.Entry{Path: name, Mode: initramfs.Regular | 0o755, Data: data})
		for dir := path.Dir(name); dir != "." && !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
			entries = append(entries, initramfs.Entry{Path: dir, Mode: initramfs.Dir | 0o755})
		}
	}
	f, err := os.Create(to)
	if err == nil {
		err = initramfs.Write(f, entries)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// order types a word for the NFS server and waits until it is done.
func order(g *guest, word string) {
	g.t.Helper()
	if err := g.Type(word + "\n"); err != nil {
		g.t.Fatal(err)
	}
	g.see(`nfsd: done ` + word)
}

// freeze stops a guest's processor, so that nothing answers any more, as when its power is gone;
// thaw lets it go on.
func freeze(g *guest) { monitor(g, "stop") }
func thaw(g *guest)   { monitor(g, "cont") }

func monitor(g *guest, line string) {
	g.t.Helper()
	if out, err := g.Monitor(line); err != nil || out != "" {
		g.t.Fatal(out, err)
	}
}

// TestBackupNFS has a server keep its backups on an NFS server that does what NFS servers do: goes
// away and comes back, runs full, lets nobody write. In the end the node is made again from what
// was stored there.
func TestBackupNFS(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "nas.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 256<<20); err != nil {
		t.Fatal(err)
	}
	ref(t, "mke2fs", "-q", "-t", "ext4", disk)
	var before string
	t.Run("kept", func(t *testing.T) { before = keptOnNFS(t, disk) })
	if t.Failed() {
		return
	}
	newest := ""
	for _, line := range strings.Fields(ref(t, "debugfs", "-R", "ls -p /shelf", disk)) {
		if f := strings.Split(line, "/"); len(f) > 5 && strings.HasPrefix(f[5], "shelf-nfs-20") && strings.HasSuffix(f[5], ".tar.zst") {
			newest = max(newest, f[5])
		}
	}
	if newest == "" {
		t.Fatal("nothing is stored")
	}
	archive := filepath.Join(t.TempDir(), newest)
	ref(t, "debugfs", "-R", "dump /shelf/"+newest+" "+archive, disk)
	g := boot(t, vm.Options{Image: restore(t, archive).Image, Name: "restored", Size: 4 << 30, Memory: 2048})[0]
	g.up()
	s := g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	if after := identityOf(s); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	s.off()
}

// keptOnNFS is the node's first life; it returns what made it what it was.
func keptOnNFS(t *testing.T, disk string) (identity string) {
	im := build(t, cloudConfig("shelf-nfs", "network:\n  interfaces:\n  - {mac: '52:54:00:00:01:01', addresses: [10.9.0.1/24]}\n"+
		"backup: {to: 'nfs://10.9.0.2/srv/nas/shelf', keep: 2}\nk3os: {token: a-long-random-word}\ntime: {wait: 1s}\n"),
		"board=qemu-arm64", "role=server", k3s(t, "arm64"))
	a, b, err := vm.NewLink("52:54:00:00:01:01", "52:54:00:00:01:02")
	if err != nil {
		t.Fatal(err)
	}
	both := boot(t, vm.Options{Image: im.Image, Name: "nfs", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{a}}, nfsServer(t, b, disk))
	g, nas := both[0], both[1]
	nas.see(`nfsd: serving`)
	g.up()
	s := g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	fakeDatabase(s)
	identity = identityOf(s)

	sub(t, "cycle", func(t *testing.T) {
		s.until("sudo shelf backup now", "is at nfs://10.9.0.2/srv/nas/shelf") // the node may be at it by itself
		if got := s.run("sudo shelf backup list"); !strings.HasPrefix(got, "shelf-nfs-20") {
			t.Error(got)
		}
		for range 2 {
			s.run("sudo shelf backup now")
		}
		if got := strings.Count(s.run("sudo shelf backup list"), "\n") + 1; got != 2 {
			t.Errorf("%d are kept, not 2", got)
		}
		s.until("wget -qO- http://10.0.2.15:9100/metrics | grep ^shelf_backup_age", "shelf_backup_age_seconds ")
		if got := s.run("cat /proc/self/mounts"); strings.Contains(got, "nfs") {
			t.Errorf("it stays mounted:\n%s", got)
		}
	}, both...)
	sub(t, "nobody may write", func(t *testing.T) {
		order(nas, "close")
		if out, err := s.try("sudo shelf backup now"); err == nil || !strings.Contains(out+err.Error(), "lets nobody write there") {
			t.Errorf("%s, %v", out, err)
		}
		order(nas, "open")
	}, both...)
	sub(t, "full", func(t *testing.T) {
		order(nas, "fill")
		if out, err := s.try("sudo shelf backup now"); err == nil || !strings.Contains(out+err.Error(), "does not fit on its server") {
			t.Errorf("%s, %v", out, err)
		}
		if got := strings.Count(s.run("sudo shelf backup list"), "\n") + 1; got != 2 {
			t.Errorf("%d are left of 2", got)
		}
		order(nas, "empty")
		if out, err := s.try("sudo shelf backup"); err == nil || !strings.Contains(out+err.Error(), "the last attempt") {
			t.Errorf("status: %s, %v", out, err)
		}
		s.run("sudo shelf backup now")
	}, both...)
	sub(t, "links of the server", func(t *testing.T) {
		order(nas, "links")
		const own = "sudo sha256sum /etc/passwd /etc/shadow /etc/hosts"
		before := s.run(own)
		for range 2 { // old ones are removed, too
			s.run("sudo shelf backup now")
		}
		if after := s.run(own); after != before {
			t.Errorf("the node's own files were\n%s\nand are\n%s", before, after)
		}
		if got := s.run("sudo shelf backup list"); strings.Contains(got, "-2020") || strings.Count(got, "\n")+1 != 2 {
			t.Errorf("a link is taken for a backup:\n%s", got)
		}
	}, both...)
	const mounted = "grep -q ' /run/shelf/backup nfs' /proc/self/mounts && echo mounted"
	// background makes a backup while we go on; its output, and at last "ended", goes to
	// /tmp/NAME, its number to /tmp/NAME.pid.
	background := func(name string) {
		t.Helper()
		s.run("(sudo sh -c 'echo $$ >/tmp/" + name + ".pid; exec shelf backup now' >/tmp/" + name + " 2>&1; echo ended >>/tmp/" + name + ") </dev/null >/dev/null 2>&1 &")
	}
	sub(t, "gone", func(t *testing.T) {
		freeze(nas)
		background("gone")
		s.until("cat /tmp/gone", "KiB")
		// PID 1 answers, and starts programs.
		s.run("sudo shelf services && sudo shelf restart node-exporter")
		s.until("cat /tmp/gone", "trying again in")
		// A caller need not wait.
		s.run("sudo kill -INT $(cat /tmp/gone.pid)")
		s.until("cat /tmp/gone", "ended")
		thaw(nas)
		s.until("sudo shelf backup now", "is at nfs://")
	}, both...)
	sub(t, "gone in the middle", func(t *testing.T) {
		s.run("sudo dd if=/dev/urandom of=/var/lib/rancher/k3s/server/ballast bs=1M count=96 2>/dev/null")
		background("middle")
		s.until(mounted, "mounted")
		if got := s.run("grep ' /run/shelf/backup ' /proc/self/mountinfo"); !strings.Contains(got, "nosymfollow") || !strings.Contains(got, "nosuid,nodev,noexec") {
			t.Errorf("it is mounted as\n%s", got)
		}
		freeze(nas)
		s.run("sudo shelf services && sudo shelf restart node-exporter && cat /proc/self/mounts >/dev/null")
		thaw(nas)
		if got := s.until("cat /tmp/middle", "ended"); !strings.Contains(got, "is at nfs://") {
			t.Errorf("a server that came back: %s", got)
		}
		s.run("sudo rm /var/lib/rancher/k3s/server/ballast")
		s.run("sudo shelf backup now")
	}, both...)
	sub(t, "stopped while the server is gone", func(t *testing.T) {
		s.run("sudo dd if=/dev/urandom of=/var/lib/rancher/k3s/server/ballast bs=1M count=96 2>/dev/null")
		// A volume of somebody's, whose client would wait for ever, with something that is not
		// written yet.
		s.run("sudo mkdir -p /run/nas && sudo mount -t nfs4 -o hard,vers=4.2,addr=10.9.0.2 10.9.0.2:/srv/nas/shelf /run/nas && sudo touch /run/nas/notes && sudo chmod 666 /run/nas/notes")
		background("stopped")
		s.until(mounted, "mounted")
		freeze(nas)
		s.run("(sh -c 'echo text >/run/nas/notes') </dev/null >/dev/null 2>&1 &")
		s.killPods()
		s.off()
		thaw(nas)
		ref(t, "e2fsck", "-fn", dataFS(g.Disk))
	}, both...)
	if err := nas.Type("off\n"); err != nil {
		t.Fatal(err)
	}
	if err := nas.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return identity
}
