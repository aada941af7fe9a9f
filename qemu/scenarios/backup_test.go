package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// TestBackup boots a storage node and makes a USB disk one for backups: it is formatted and written
// at once, and again when it comes back; a share that was emptied is restored. On two more disks
// the tests of package backup run with the node's own kernel and programs: transfers that are cut,
// retention, and a restore onto an empty disk.
func TestBackup(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	im := build(t, cloudConfig("shelf-nas", storageConfig()), "board=rpi4", "role=storage")
	dir := t.TempDir()
	args := []string{"-device", "qemu-xhci,id=usb"}
	for _, d := range []struct {
		name string
		size int64
	}{{"data", 1 << 30}, {"one", 400 << 20}, {"two", 400 << 20}, {"stick", 500 << 20}} {
		file := filepath.Join(dir, d.name+".img")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, d.size); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-blockdev", fmt.Sprintf("driver=raw,node-name=%s,file.driver=file,file.filename=%s", d.name, file))
		if d.name != "stick" {
			args = append(args, "-device", fmt.Sprintf("virtio-blk-pci,drive=%s,serial=%s", d.name, map[string]string{"data": "SHELF1", "one": "ONE", "two": "TWO"}[d.name]))
		}
	}
	g := boot(t, vm.Options{Image: im.Image, Name: "nas", Machine: "virt", Size: 4 << 30, Memory: 1024, Args: args})[0]
	g.up()
	s := g.login()
	const photos = "/srv/data/photos"
	plug := func(t *testing.T) {
		t.Helper()
		if err := g.Plug("usb-storage", "disk0", map[string]any{"bus": "usb.0", "drive": "stick", "serial": "STICK1"}); err != nil {
			t.Fatal(err)
		}
	}
	unplug := func(t *testing.T) {
		t.Helper()
		if err := g.Unplug(t.Context(), "disk0"); err != nil {
			t.Fatal(err)
		}
	}
	sub(t, "a blank disk", func(t *testing.T) {
		s.until("sudo ls -d "+photos, photos)
		s.run("sudo sh -c 'mkdir " + photos + "/trip && head -c 3000000 /usr/bin/shelf >" + photos + "/trip/file && chown -R 1500:1500 " + photos + "/trip'")
		plug(t)
		s.until("shelf storage disks", "SERIAL=STICK1")
		if out, err := s.try("sudo shelf backup enroll SERIAL=STICK1 name=stick 2>&1"); err == nil || !strings.Contains(out+err.Error(), "add format=yes") {
			t.Errorf("without format: got %q, %v", out, err)
		}
		if got := s.run("sudo shelf backup enroll SERIAL=STICK1 name=stick format=yes 2>&1"); !strings.Contains(got, "all shares are on the disk stick, which may be unplugged") {
			t.Errorf("got %q", got)
		}
		if got := s.run("grep -c sda /proc/mounts || true"); got != "0" {
			t.Errorf("the disk is mounted still: %s", got)
		}
		if got := s.run("sudo shelf backup"); !strings.Contains(got, "attached") || !strings.Contains(got, "last good backup") {
			t.Errorf("got %q", got)
		}
		unplug(t)
	}, g)
	sub(t, "it comes back", func(t *testing.T) {
		s.run("sudo sh -c 'echo more >" + photos + "/more && sync'")
		s.run("sudo date -s @$(($(date +%s) + 7200))") // one of the last hour would do
		const good = "sudo grep -o '\"good\":\"[^\"]*\"' /srv/data/.shelfos/backup/state.json"
		before := s.run(good)
		plug(t)
		s.until(good+" | grep -v '"+before+"'", "good")
		if got := s.run("sudo shelf backup list stick"); strings.Count(got, "photos") != 2 || strings.Count(got, "bobs") != 1 {
			t.Errorf("got %q, want two of photos and one of bobs", got)
		}
		s.until("sudo cat /run/shelf/metrics/shelf.prom | grep backup_good", "place=\"stick\"")
	}, g)
	sub(t, "restored", func(t *testing.T) {
		hash := s.run("sudo sha256sum " + photos + "/trip/file")
		s.run("sudo rm -rf " + photos + "/trip " + photos + "/more")
		if got := s.run("sudo shelf backup restore stick photos 2>&1"); !strings.Contains(got, photos+" is as it was at") {
			t.Errorf("got %q", got)
		}
		if got := s.run("sudo sha256sum " + photos + "/trip/file"); got != hash {
			t.Errorf("got %q, want %q", got, hash)
		}
		if got := s.run("sudo stat -c '%u:%g' " + photos + "/trip/file"); got != "1500:1500" {
			t.Errorf("the owner: got %q, want ann", got)
		}
		if out, err := s.try("sudo shelf backup restore stick photos 2>&1"); err == nil || !strings.Contains(out+err.Error(), "is not empty; nothing was touched") {
			t.Errorf("over files: got %q, %v", out, err)
		}
	}, g)
	sub(t, "on btrfs", func(t *testing.T) {
		program := filepath.Join(dir, "backup.test")
		cmd := exec.Command("go", "test", "-c", "-trimpath", "-o", program, "../../init/storage/backup")
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.RunInput(t.Context(), "sudo tee /opt/backup.test >/dev/null && sudo chmod 755 /opt/backup.test", data); err != nil {
			t.Fatal(err)
		}
		disk := func(serial string) string {
			return s.run("for d in /sys/block/vd*; do [ \"$(cat $d/serial 2>/dev/null)\" != " + serial + " ] || echo /dev/${d##*/}; done")
		}
		if got := s.run("cd /tmp && sudo env IMGBUILD_BTRFS=" + disk("ONE") + "," + disk("TWO") + " /opt/backup.test -test.run 'OnBtrfs$' -test.v 2>&1 || true"); !strings.Contains(got, "--- PASS: TestOnBtrfs (") || !strings.Contains(got, "--- PASS: TestServerOnBtrfs (") {
			t.Errorf("%s", got)
		}
	}, g)
	s.off()
}
