package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/disks"

	"golang.org/x/sys/unix"
)

// devicesVar names two block devices for TestOnBtrfs, with a comma between them. What is on them is
// lost. The scenario TestBackup sets it in a guest.
const devicesVar = "IMGBUILD_BTRFS"

// box is a node with one share on a real btrfs, and a second disk.
type box struct {
	*testing.T
	*Job
	main, stick string // block devices
	share       string
	day         time.Time
}

// run is a program that has to succeed.
func (b *box) run(args ...string) {
	b.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		b.Fatalf("%v: %v: %s", args, err, out)
	}
}

// fresh makes an empty disk with an empty share.
func (b *box) fresh() {
	b.Helper()
	root := filepath.Dir(b.share)
	if err := unix.Unmount(root, 0); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		b.Fatal(err)
	}
	b.run("mkfs.btrfs", "-q", "-f", b.main)
	if err := errors.Join(os.MkdirAll(root, 0o755), unix.Mount(b.main, root, "btrfs", 0, "")); err != nil {
		b.Fatal(err)
	}
	b.run("btrfs", "-q", "subvolume", "create", b.share)
	b.Own = filepath.Join(root, disks.Own)
	if err := os.Mkdir(b.Own, 0o700); err != nil {
		b.Fatal(err)
	}
}

func newBox(t *testing.T, devices string) *box {
	main, stick, _ := strings.Cut(devices, ",")
	b := &box{T: t, main: main, stick: stick, share: filepath.Join(t.TempDir(), "srv", "photos"), day: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	b.Job = &Job{
		Host: "nas", Keep: []config.SnapshotRule{{Unit: "daily", Count: 3}}, Shares: []Share{{Name: "photos", Dir: b.share, Disk: filepath.Dir(b.share)}},
		Say: t.Logf, Now: func() time.Time { return b.day },
		Devices: func() ([]disks.Device, error) {
			fs, err := probe(stick)
			return []disks.Device{{Name: "sdb", Disk: "sdb", Path: stick, Serials: []string{"STICK"}, FS: fs}}, err
		},
	}
	b.All = b.Shares
	b.fresh()
	t.Cleanup(func() { _ = unix.Unmount(filepath.Dir(b.share), unix.MNT_DETACH) })
	b.run("mkfs.btrfs", "-q", "-f", stick)
	return b
}

func (b *box) write(name string, size int) {
	b.Helper()
	data := make([]byte, size)
	_, _ = rand.Read(data)
	if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(b.share, name)), 0o755), os.WriteFile(filepath.Join(b.share, name), data, 0o640)); err != nil {
		b.Fatal(err)
	}
}

// backup makes one, a day after the last.
func (b *box) backup() Place {
	b.Helper()
	b.day = b.day.AddDate(0, 0, 1)
	if err := b.Job.Run(b.Context(), "stick"); err != nil {
		b.Fatal(err)
	}
	return b.place()
}

func (b *box) place() Place {
	b.Helper()
	s, err := Load(b.Own)
	if err != nil {
		b.Fatal(err)
	}
	return s.Places["stick"]
}

// there are the days of the backups, and what is there besides them.
func (b *box) there() (days []string) {
	b.Helper()
	list, err := b.List(b.Context(), "stick")
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range list {
		days = append(days, v.Time.Format("02"))
	}
	return days
}

// files lists what is in the share: names, modes, owners, times, contents.
func (b *box) files() string {
	b.Helper()
	var out strings.Builder
	err := filepath.WalkDir(b.share, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		data := []byte{}
		if e.Type().IsRegular() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		rel, _ := filepath.Rel(b.share, path)
		if rel == "." {
			st.Mtim.Sec = 0 // of what was done in it since
		}
		fmt.Fprintf(&out, "%s %o %d:%d %d %x\n", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, sum(data))
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return out.String()
}

// has reports a share that is not as it was.
func (b *box) has(want string) {
	b.Helper()
	if got := b.files(); got != want {
		b.Errorf("the share: got\n%swant\n%s", got, want)
	}
}

// TestOnBtrfs makes backups of a share on a real btrfs to another disk, by real programs: whole
// and incremental, after transfers that were cut, with retention, and back onto an empty disk.
// Without two devices for it there is nothing to run it on; the scenario TestBackup has them.
func TestOnBtrfs(t *testing.T) {
	devices := os.Getenv(devicesVar)
	if devices == "" {
		return
	}
	b := newBox(t, devices)
	ctx := t.Context()
	b.write("a/one", 4<<20)
	b.write("two", 100)
	if err := errors.Join(os.Chown(filepath.Join(b.share, "two"), 1500, 1501), os.Symlink("two", filepath.Join(b.share, "link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Enroll(ctx, "SERIAL=STICK", "stick", false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Enroll(ctx, "SERIAL=STICK", "again", false); fault.Code(err) != int(fault.Usage) {
		t.Errorf("enrolled twice: got %v, want a usage error", err)
	}
	whole := b.backup()
	if whole.Sent < 4<<20 || !whole.Good.Equal(b.day) {
		t.Errorf("the first one: got %+v, want 4 MiB at least, good at %v", whole, b.day)
	}
	b.write("three", 1000)
	if p := b.backup(); p.Sent > 64<<10 || p.Sent < 1000 {
		t.Errorf("the second one: %d bytes were sent, want those of a small file", p.Sent)
	}
	if p := b.backup(); p.Sent != 0 || !p.Good.Equal(b.day) {
		t.Errorf("nothing was written: got %+v, want nothing sent", p)
	}
	if got := b.there(); !slices.Equal(got, []string{"02", "03"}) {
		t.Errorf("got %v, want those of two days", got)
	}

	t.Run("cut", func(t *testing.T) {
		b.T = t
		s, err := Load(b.Own)
		if err != nil {
			t.Fatal(err)
		}
		b.write("four", 8<<20)
		share, now := b.Shares[0], b.day.Add(time.Hour)
		v, err := b.open(ctx, s, "stick")
		if err != nil {
			t.Fatal(err)
		}
		at := tree(filepath.Join(mountDir, "stick", vaultDir, s.ID, "photos"))
		for _, keep := range []int64{0, 10, 100, 5 << 20} { // bytes that arrive
			cut := *v
			cut.put = func(ctx context.Context, share string, sn Snap, base *Snap, r io.Reader) error {
				return v.put(ctx, share, sn, base, io.MultiReader(io.LimitReader(r, keep), broken{}))
			}
			if base, _, err := b.Job.share(ctx, &cut, share, "", now); err == nil || base != "" {
				t.Errorf("cut after %d bytes: got %q, %v, want an error", keep, base, err)
			}
			if entries, err := os.ReadDir(string(at)); err != nil || len(entries) != 2 {
				t.Errorf("cut after %d bytes: %v, %v are there, want the two backups", keep, entries, err)
			}
		}
		// The last bytes alone are missing.
		var stream bytes.Buffer
		have, err := share.from().list(false)
		if err != nil {
			t.Fatal(err)
		}
		there, err := at.list(true)
		if err != nil {
			t.Fatal(err)
		}
		send, base := Next(have, there)
		if send == nil || base == nil {
			t.Fatalf("got %v, %v, want a snapshot and its base", send, base)
		}
		if err := share.from().send(ctx, *send, base, &stream); err != nil {
			t.Fatal(err)
		}
		if err := at.receive(ctx, *send, bytes.NewReader(stream.Bytes()[:stream.Len()-10])); err == nil {
			t.Error("a stream without its end: got no error")
		}
		wrong := *send
		wrong.Stream = strings.Repeat("ab", 16)
		if err := at.receive(ctx, wrong, bytes.NewReader(stream.Bytes())); fault.Code(err) != int(fault.Verify) {
			t.Errorf("another snapshot than was announced: got %v, want a verify error", err)
		}
		// What a power cut leaves: a part, and one that has a name and is not whole.
		for _, dir := range []string{fresh + send.Name, "@GMT-2026.11.04-12.00.00"} {
			if err := os.Mkdir(filepath.Join(string(at), dir), 0o700); err != nil {
				t.Fatal(err)
			}
			b.run("btrfs", "-q", "subvolume", "create", filepath.Join(string(at), dir, files))
		}
		if err := v.close(); err != nil {
			t.Fatal(err)
		}
		if p := b.backup(); p.Sent < 8<<20 {
			t.Errorf("after the cut: %d bytes were sent, want 8 MiB at least", p.Sent)
		}
		if got := b.there(); len(got) != 3 {
			t.Errorf("got %v, want three", got)
		}
	})
	b.T = t
	for i := range 4 {
		b.write(fmt.Sprint("daily", i), 10)
		b.backup()
	}
	if got := b.there(); len(got) > 4 || !slices.Contains(got, b.day.Format("02")) {
		t.Errorf("got %v, want the last three, and the newest", got)
	}
	if own, err := os.ReadDir(string(b.Shares[0].from())); err != nil || len(own) != 1 {
		t.Errorf("own snapshots: %v, %v, want the one that the next transfer begins from", own, err)
	}

	// The disk dies. Another one is empty, and knows nothing.
	want := b.files()
	b.fresh()
	if _, err := b.Enroll(ctx, "SERIAL=STICK", "stick", false); err != nil {
		t.Fatal(err)
	}
	b.day = b.day.Add(time.Hour)
	v, _, _, err := b.Restore(ctx, "stick", Wish{Share: "photos"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restored %+v", v)
	b.has(want)
	if _, _, _, err := b.Restore(ctx, "stick", Wish{Share: "photos"}); fault.Code(err) != int(fault.Input) {
		t.Errorf("restore over files: got %v, want an input error", err)
	}
	if err := os.WriteFile(filepath.Join(b.share, "two"), []byte("spoiled"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, to, aside, err := b.Restore(ctx, "stick", Wish{Share: "photos", Path: "two"})
	if text, err2 := os.ReadFile(aside); err != nil || err2 != nil || string(text) != "spoiled" {
		t.Errorf("a file: got %q, %v, %v, want spoiled", text, err, err2)
	}
	if err := os.Remove(aside); err != nil || to != filepath.Join(b.share, "two") {
		t.Errorf("got %q, %v", to, err)
	}
	b.has(want)
	if _, _, _, err := b.Restore(ctx, "stick", Wish{Share: "photos", Path: "../x"}); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a path outside: got %v, want a usage error", err)
	}
	if p := b.backup(); p.Error != "" || len(b.there()) < 2 {
		t.Errorf("after the restore: got %+v", p)
	}
	if err := b.Forget(ctx, "stick"); err != nil {
		t.Fatal(err)
	}
	if err := b.Job.Run(ctx, "stick"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a forgotten place: got %v, want a usage error", err)
	}
}

// The same to an sftp server: whole, an increment, one that is cut and goes on, and back onto an
// empty disk.
func TestServerOnBtrfs(t *testing.T) {
	devices := os.Getenv(devicesVar)
	if devices == "" {
		return
	}
	b := newBox(t, devices)
	sv, dir, id := cloud(t, b.Job)
	ctx := t.Context()
	run := func() Place {
		t.Helper()
		b.day = b.day.AddDate(0, 0, 1)
		if err := b.Job.Run(ctx, "cloud"); err != nil {
			t.Fatal(err)
		}
		s, err := Load(b.Own)
		if err != nil {
			t.Fatal(err)
		}
		return s.Places["cloud"]
	}
	b.write("a/one", 3<<20)
	if p := run(); p.Sent < 3<<20 {
		t.Errorf("the first one: got %+v, want 3 MiB at least", p)
	}
	b.write("two", 1000)
	if p := run(); p.Sent > 64<<10 || p.Sent < 1000 {
		t.Errorf("the second one: got %+v, want a small file", p)
	}
	// Cut; then something is written, and still the snapshot that was cut goes on first.
	b.write("three", 2<<20)
	s, err := Load(b.Own)
	if err != nil {
		t.Fatal(err)
	}
	v, err := b.open(ctx, s, "cloud")
	if err != nil {
		t.Fatal(err)
	}
	cut := *v
	cut.put = func(ctx context.Context, share string, sn Snap, base *Snap, r io.Reader) error {
		return v.put(ctx, share, sn, base, io.MultiReader(io.LimitReader(r, 1_500_000), broken{}))
	}
	if _, _, err := b.Job.share(ctx, &cut, b.Shares[0], "", b.day.Add(time.Hour)); err == nil {
		t.Error("cut: got no error")
	}
	if err := errors.Join(v.close(), b.tidy(ctx, s, b.Shares[0])); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "*/photos/*/*.age"))
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]time.Time{}
	for _, p := range parts {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		times[p] = st.ModTime()
	}
	b.write("four", 1000)
	run()
	for p, at := range times {
		if st, err := os.Stat(p); err != nil || !st.ModTime().Equal(at) {
			t.Errorf("%s was written again: %v", p, err)
		}
	}
	run()
	want := b.files()
	list, err := b.List(ctx, "cloud")
	if err != nil || len(list) != 4 {
		t.Errorf("got %v, %v, want four", list, err)
	}
	b.fresh()
	line, err := b.Key() // a new disk has a key of its own
	if err != nil {
		t.Fatal(err)
	}
	sv.Allow(line)
	if _, _, _, err := b.Restore(ctx, "cloud", Wish{Share: "photos"}); fault.Code(err) != int(fault.Usage) {
		t.Errorf("without an identity: got %v, want a usage error", err)
	}
	if _, _, _, err := b.Restore(ctx, "cloud", Wish{Share: "photos", Identity: id}); err != nil {
		t.Fatal(err)
	}
	b.has(want)
	if err := os.Remove(filepath.Join(b.share, "two")); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.Restore(ctx, "cloud", Wish{Share: "photos", Path: "two", Identity: id, At: b.day.AddDate(0, 0, -2)}); err != nil {
		t.Fatal(err)
	}
	b.has(want)
	run()
}

// broken is a connection that ends.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the connection is cut") }

func sum(b []byte) [32]byte { return sha256.Sum256(b) }
