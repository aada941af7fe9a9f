package scenarios

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/manifest"
	"imgbuild/qemu/vm"
)

// partition copies a partition of an image into a file of its own, for tools that take no offset.
func partition(t *testing.T, im *vm.Image, n int) string {
	t.Helper()
	p := im.Partition(n)
	name := filepath.Join(t.TempDir(), "partition")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, p); err != nil {
		t.Fatal(err)
	}
	return name
}

func openImage(t *testing.T, name string) *vm.Image {
	t.Helper()
	im, err := vm.OpenImage(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

// TestImageFormats has the reference tool of every format check the image of the Pi 4.
func TestImageFormats(t *testing.T) {
	t.Parallel()
	built := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	im := openImage(t, built.Image)
	if info, err := os.Stat(built.Image); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("an image with a configuration has the mode %v: %v", info.Mode(), err)
	}
	t.Run("sfdisk", func(t *testing.T) {
		table := ref(t, "sfdisk", "-d", built.Image)
		for _, want := range []string{"start=       32768, size=      229376, type=c, bootable", "start=      491520, size=     1310720, type=1c",
			"start=     1802240, size=     1310720, type=1c", "start=     3112960, size=      524288, type=83"} {
			if !strings.Contains(table, want) {
				t.Errorf("sfdisk does not see %q in:\n%s", want, table)
			}
		}
		if out := ref(t, "sfdisk", "-V", built.Image); !strings.Contains(out, "No errors detected") {
			t.Error(out)
		}
	})
	t.Run("fsck.vfat", func(t *testing.T) {
		for _, n := range []int{vm.Boot, vm.SlotA} {
			out := ref(t, "fsck.vfat", "-n", partition(t, im, n))
			if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 {
				t.Errorf("fsck.vfat reports a problem of partition %d:\n%s", n, out)
			}
		}
	})
	t.Run("e2fsck", func(t *testing.T) { ref(t, "e2fsck", "-fn", dataFS(built.Image)) })
	m, err := im.Manifest(vm.SlotA)
	if err != nil {
		t.Fatal(err)
	}
	slot := im.Partition(vm.SlotA)
	t.Run("manifest", func(t *testing.T) {
		for _, f := range m.Files {
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(slot, f.Offset, f.Size)); err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(h.Sum(nil)) != f.SHA256 || f.Offset%4096 != 0 {
				t.Errorf("%s at %d is not what the manifest has", f.Path, f.Offset)
			}
		}
		backing, err := file.OpenFromPath(partition(t, im, vm.SlotA), true)
		if err != nil {
			t.Fatal(err)
		}
		defer backing.Close()
		volume, err := fat32.Read(backing, slot.Size(), 0, 512)
		if err != nil {
			t.Fatal(err)
		}
		f, err := volume.OpenFile("/"+manifest.Name, os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		if err != nil || !bytes.Contains(data, []byte(m.Version)) {
			t.Errorf("another reader of FAT sees no manifest: %v", err)
		}
	})
	root := filepath.Join(t.TempDir(), "root")
	data := make([]byte, m.Root.Size+m.Root.TreeSize)
	if _, err := slot.ReadAt(data, m.Root.Offset); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("veritysetup", func(t *testing.T) {
		ref(t, "veritysetup", "verify", "--no-superblock", fmt.Sprint("--hash-offset=", m.Root.Size), fmt.Sprint("--data-blocks=", m.Root.Size/4096), "--salt="+m.Root.Salt, root, root, m.Root.Hash)
	})
	t.Run("unsquashfs", func(t *testing.T) {
		list := ref(t, "unsquashfs", "-lls", "-d", "usr", root)
		for _, want := range []string{`-rwsr-xr-x root/root .* usr/bin/sudo\b`, `lrwxrwxrwx root/root .* usr/bin/sh -> bash`, `-rw-r----- (root|0)/(shadow|42) .* usr/share/etc/shadow`,
			`usr/bin/shelf\b`, `usr/bin/k3s\b`, `usr/lib/modules/` + regexp.QuoteMeta(m.Kernel) + `/modules.dep.bin`, `usr/share/etc/ssl/certs/ca-certificates.crt`} {
			if !regexp.MustCompile(want).MatchString(list) {
				t.Errorf("unsquashfs lists nothing like %s", want)
			}
		}
		// sudo alone runs with another user's rights, and nothing but a sticky directory is
		// writable for everybody.
		var set []string
		for line := range strings.Lines(list) {
			f := strings.Fields(line)
			if len(f) < 6 || f[0][0] == 'l' || len(f[0]) != 10 {
				continue
			}
			if strings.ContainsAny(f[0], "sS") {
				set = append(set, f[5])
			}
			if f[0][8] == 'w' && f[0][9] != 't' {
				t.Errorf("everybody may write: %s", line)
			}
		}
		if len(set) != 1 || set[0] != "usr/bin/sudo" {
			t.Errorf("programs with set-uid or set-gid: %v", set)
		}
		for _, no := range []string{"usr/lib/systemd", "usr/bin/perl", "usr/bin/python", "usr/share/man/", "ssh_host_", "usr/share/etc/machine-id"} {
			if strings.Contains(list, " "+no) || strings.Contains(list, "/"+no) {
				t.Errorf("the root holds %s", no)
			}
		}
	})
	t.Run("boot.scr", func(t *testing.T) {
		script, err := im.ReadFile(vm.Boot, "boot.scr")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "boot.scr")
		if err := os.WriteFile(file, script, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := ref(t, "dumpimage", "-l", file); !strings.Contains(out, "U-Boot Script") && !strings.Contains(out, "Script") {
			t.Error(out)
		}
	})
	t.Run("config.txt", func(t *testing.T) {
		text, err := im.ReadFile(vm.Boot, "config.txt")
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`(?m)^(?:kernel|device_tree|initramfs|start_file|fixup_file)=(\S+)`).FindAllSubmatch(text, -1)
		if len(names) < 8 {
			t.Errorf("config.txt names %d files", len(names))
		}
		need := []string{"bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "boot.scr", "uboot.env", "report.txt", "config.yaml", "config.d/00-image.yaml", "README.txt"}
		for _, n := range names {
			need = append(need, string(n[1]))
		}
		for _, name := range need {
			if data, err := im.ReadFile(vm.Boot, name); err != nil || len(data) == 0 {
				t.Errorf("BOOT lacks %s: %v", name, err)
			}
		}
	})
}

// TestSameBytes builds one image in two places that have nothing in common but the packages, then
// once more from what the cache keeps of it, and compares.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	config := cloudConfig("same", "k3os: {token: canary-4711-0815}\n")
	words := []string{"board=rpi4", "role=worker", k3s(t, "arm64"), "pack=yes"}
	first := build(t, config, words...)
	cache := t.TempDir()
	packagesOnly(t, cache)
	second := buildElsewhere(t, config, cache, words...)
	kept := buildElsewhere(t, config, cache, words...) // the slot, and its frames, are now in the cache
	for _, image := range []string{second, kept} {
		if filepath.Base(first.Image) != filepath.Base(image) {
			t.Errorf("the names differ: %s and %s", first.Image, image)
		}
		for _, suffix := range []string{".img", ".img.zst", ".img.bmap", ".json", ".spdx.json"} {
			a, b := sum(t, strings.TrimSuffix(first.Image, ".img")+suffix), sum(t, strings.TrimSuffix(image, ".img")+suffix)
			if a != b {
				t.Errorf("%s of %s differs: %s and %s", suffix, image, a, b)
			}
		}
	}
	other := build(t, cloudConfig("other", ""), words...)
	a, b := openImage(t, first.Image), openImage(t, other.Image)
	if sumReader(t, a.Partition(vm.SlotA)) != sumReader(t, b.Partition(vm.SlotA)) {
		t.Error("two configurations give two slots")
	}
	m, err := a.Manifest(vm.SlotA)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := os.ReadFile(strings.TrimSuffix(first.Image, ".img") + ".spdx.json")
	if err != nil || !bytes.Contains(contents, []byte(`"./initramfs/init"`)) || !bytes.Contains(contents, []byte(m.InitSHA256)) {
		t.Errorf("the list of contents does not have the init of the manifest, %s: %v", m.InitSHA256, err)
	}
	if sum(t, first.Image) == sum(t, other.Image) {
		t.Error("two configurations give one image")
	}
	// The secret of the configuration is in the image and nowhere else: not in what the build left,
	// not in its cache.
	found := map[string]bool{}
	for _, dir := range []string{filepath.Dir(second), cache} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(name)
			if bytes.Contains(data, []byte("canary-4711-0815")) {
				found[filepath.Ext(name)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !found[".img"] || len(found) != 1 {
		t.Errorf("the canary is in files with these endings: %v", found)
	}
	if sums, err := os.ReadFile(filepath.Join(filepath.Dir(second), "SHA256SUMS")); err != nil || !strings.Contains(string(sums), sum(t, second)+"  "+filepath.Base(second)) {
		t.Errorf("SHA256SUMS does not know the image: %v\n%s", err, sums)
	}
}

// packagesOnly fills a cache with the downloads of the default one, so that a build has to decode
// and compress again.
func packagesOnly(t *testing.T, dir string) {
	t.Helper()
	from, err := blockcache.Default()
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(from, "blob"), func(name string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, name)
		if err == nil && d.IsDir() {
			return os.MkdirAll(filepath.Join(dir, rel), 0o755)
		}
		if err == nil {
			err = os.Link(name, filepath.Join(dir, rel)) // never written to again under its name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// buildElsewhere builds with one processor, another home, time zone, umask and an own cache.
func buildElsewhere(t *testing.T, config, cache string, words ...string) string {
	t.Helper()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "elsewhere")
	args := append([]string{"-c", `umask 077; exec "$0" "$@"`, program, "config=" + file, "out=" + out, "cache=" + cache}, words...)
	err = withLock(program, words, func(lockDir string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", args...)
		cmd.Dir = lockDir
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "TZ=Pacific/Kiritimati", "HOME="+dir, "LC_ALL=C")
		return cmd.CombinedOutput()
	})
	if err != nil {
		t.Fatal(err)
	}
	images, err := filepath.Glob(filepath.Join(out, "*.img"))
	if err != nil || len(images) != 1 {
		t.Fatalf("%v, %v, want length 1", images, err)
	}
	return images[0]
}

func sum(t *testing.T, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return sumReader(t, f)
}

func sumReader(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
