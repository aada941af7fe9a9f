package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/kmod"
	"imgbuild/qemu/vm"
)

// TestHardware: each module of each kind of hardware that a board drives is in the slot, with at
// least one of the firmware files that it or what it needs may ask for.
func TestHardware(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		board string
		words []string
	}{{"rpi4", []string{k3s(t, "arm64")}}, {"odroid-xu4", []string{"k3s=none", "blobs=skip"}}} {
		t.Run(row.board, func(t *testing.T) {
			_, family, err := boards.Get(row.board)
			if err != nil || len(family.Hardware) < 3 {
				t.Fatalf("%+v %v", family, err)
			}
			im := openImage(t, build(t, cloudConfig("shelf-worker", ""), append([]string{"board=" + row.board, "role=worker"}, row.words...)...).Image)
			files := unpackRoot(t, im, "usr/lib/modules", "usr/lib/firmware", "lib/modules", "lib/firmware")
			modules := readModules(t, files)
			for _, kind := range family.Hardware {
				for _, name := range boards.Kinds()[kind].Modules {
					wanted, found := firmwareOf(modules, strings.ReplaceAll(name, "-", "_"), map[string]bool{})
					if !found {
						t.Errorf("%s: there is no module %s", kind, name)
					}
					there := 0
					for _, f := range wanted {
						for _, dir := range []string{"usr/lib/firmware", "lib/firmware"} {
							if _, err := os.Stat(filepath.Join(files, dir, f)); err == nil {
								there++
							}
						}
					}
					if len(wanted) > 0 && there == 0 {
						t.Errorf("%s: module %s may ask for %v, and none of it is there", kind, name, wanted)
					}
				}
			}
		})
	}
}

// unpackRoot takes directories out of the squashfs of slot A.
func unpackRoot(t *testing.T, im *vm.Image, names ...string) string {
	t.Helper()
	m, err := im.Manifest(vm.SlotA)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, m.Root.Size)
	if _, err := im.Partition(vm.SlotA).ReadAt(data, m.Root.Offset); err != nil {
		t.Fatal(err)
	}
	root, out := filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "files")
	if err := os.WriteFile(root, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ref(t, "unsquashfs", append([]string{"-no-progress", "-d", out, root}, names...)...)
	return out
}

func readModules(t *testing.T, dir string) map[string]kmod.Module {
	t.Helper()
	all := map[string]kmod.Module{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".ko") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := kmod.Read(path, data)
		all[m.Name] = m
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// firmwareOf returns what a module and those that it depends on may ask for.
func firmwareOf(all map[string]kmod.Module, name string, seen map[string]bool) (files []string, found bool) {
	m, found := all[name]
	if seen[name] {
		return nil, found
	}
	seen[name] = true
	files = m.Firmware
	for _, d := range m.Depends {
		more, _ := firmwareOf(all, d, seen)
		files = append(files, more...)
	}
	return files, found
}
