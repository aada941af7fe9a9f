package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/qemu/tool"
)

// Sticks as mkfs.vfat and a desktop make them: every kind of FAT, cloud-init's long names, a name
// in small letters. They go all the way to the node's configuration.
func TestProberOnRealVolumes(t *testing.T) {
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(tool.Path(t, name), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	for bits, size := range map[string]int64{"12": 2 << 20, "16": 16 << 20, "32": 64 << 20} {
		for label, name := range map[string]string{"CIDATA": "user-data", "cidata": "USER-DATA"} {
			root := t.TempDir()
			p := Prober{Sys: root + "/sys", Dev: root + "/dev"}
			for _, dir := range []string{p.Sys + "/class/block/sda", p.Sys + "/class/block/sda1", p.Dev} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			disk, stick := filepath.Join(p.Dev, "sda"), filepath.Join(p.Dev, "sda1")
			for _, path := range []string{disk, stick} {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, size); err != nil {
					t.Fatal(err)
				}
			}
			run("mkfs.vfat", "-F", bits, "-n", label, stick)
			for file, text := range map[string]string{name: "#cloud-config\nk3os: {token: from-the-stick}\n", "network-config": "version: 2\nethernets: {eth0: {addresses: [10.0.0.2/24]}}\n", "meta-data": "local-hostname: stick\n"} {
				content := filepath.Join(root, "content")
				if err := os.WriteFile(content, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				run("mcopy", "-o", "-i", stick, content, "::"+file)
			}
			files, device, err := p.Read()
			if err != nil || device != stick || len(files) != 3 {
				t.Fatalf("FAT%s %s: %d files on %s, %v, want %v and 3", bits, label, len(files), device, err, stick)
			}
			store := root + Store
			if changed, err := Keep(store, Volume, files); err != nil || !changed {
				t.Fatal(changed, err)
			}
			if err := os.WriteFile(store+"/system.yaml", []byte("k3os: {data_sources: [cidata]}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			layers, problems := Layers(root, "")
			c, _ := config.Merge(layers...)
			if len(problems) > 0 || c.K3OS.Token != "from-the-stick" || c.Hostname != "stick" || len(c.Network.Interfaces) != 1 {
				t.Errorf("FAT%s %s: %v %+v", bits, label, problems, c)
			}
		}
	}
}
