package layout

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/base/fsck"
	"imgbuild/init/base/mount"
	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fault"
	"imgbuild/init/start/preinit"

	"golang.org/x/sys/unix"
)

func newReporter() report.Reporter {
	return report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "layout"}
}

func mib(n int64) int64 { return n << 20 }

// problems returns the texts of the problems that were reported.
func problems(t report.Reporter) string {
	var all []string
	for _, p := range t.Report.Problems() {
		all = append(all, p.What)
	}
	return strings.Join(all, "; ")
}

// The rules by which the data partition is checked, repaired, mounted or left alone: e2fsck's exit
// codes by mode, errors of mount in their order, and what there is of the node on the partition.
func TestUse(t *testing.T) {
	broken := errors.New("broken")
	const machine = "k3os/data/var/lib/shelf/machine-id"
	for name, c := range map[string]struct {
		clean   bool
		codes   map[string]int
		files   []string
		refuse  []error
		grow    error
		does    string // what is done, in its order
		err     string // "" if the partition is in use
		problem string // "" if nothing is reported
	}{
		"clean":                {true, nil, []string{machine}, nil, nil, "mount grow", "", ""},
		"new":                  {true, nil, nil, nil, nil, "mount grow", "", ""},
		"not clean":            {false, map[string]int{"-p": 0}, []string{machine}, nil, nil, "-p mount grow", "", ""},
		"safe repair":          {false, map[string]int{"-p": 1}, []string{machine}, nil, nil, "-p mount grow", "", ""},
		"no growth":            {true, nil, []string{machine}, nil, broken, "mount grow", "", "could not be enlarged"},
		"repair":               {false, map[string]int{"-p": 4, "-fy": 1}, []string{machine}, nil, nil, "-p look unmount -fy mount grow", "", "has been repaired"},
		"past repair":          {false, map[string]int{"-p": 4, "-fy": 4}, []string{machine}, nil, nil, "-p look unmount -fy", "cannot repair it (exit code 4)", ""},
		"node is gone":         {false, map[string]int{"-p": 4}, []string{"lost+found/#12"}, nil, nil, "-p look unmount", "settings are not found", ""},
		"cannot look":          {false, map[string]int{"-p": 4}, []string{machine}, []error{broken}, nil, "-p look", "settings are not found", ""},
		"bad disk":             {false, map[string]int{"-p": 8}, []string{machine}, nil, nil, "-p", "e2fsck failed (exit code 8)", ""},
		"no e2fsck":            {false, map[string]int{"-p": -1}, []string{machine}, nil, nil, "-p", "could not be checked", ""},
		"repair ends":          {false, map[string]int{"-p": 4, "-fy": -1}, []string{machine}, nil, nil, "-p look unmount -fy", "did not come to an end", ""},
		"clean, is not":        {true, map[string]int{"-fp": 1}, []string{machine}, []error{broken}, nil, "mount -fp mount grow", "", "though it was unmounted in order"},
		"stays refused":        {true, map[string]int{"-fp": 0}, []string{machine}, []error{broken, broken}, nil, "mount -fp mount", "it cannot be mounted", ""},
		"not clean, refused":   {false, map[string]int{"-p": 0}, []string{machine}, []error{broken}, nil, "-p mount", "it cannot be mounted", ""},
		"emptied before":       {true, nil, []string{"lost+found/#12"}, nil, nil, "mount unmount", "a repair took away", ""},
		"clean, past repair":   {true, map[string]int{"-fp": 8}, []string{machine}, []error{broken}, nil, "mount -fp", "e2fsck failed", ""},
		"repair took the node": {true, map[string]int{"-fp": 4, "-fy": 1}, []string{machine}, []error{broken}, nil, "mount -fp look unmount -fy mount grow", "", "has been repaired"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range c.files {
				if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			var does []string
			reporter := newReporter()
			p := &partition{
				reporter: reporter, dir: dir,
				fsck: func(mode string) (fsck.Result, error) {
					does = append(does, mode)
					if c.codes[mode] < 0 {
						return fsck.Result{}, broken
					}
					return fsck.Result{Code: c.codes[mode], Last: "the last line"}, nil
				},
				mount: func(options string, flags uintptr) error {
					what := "mount"
					if flags&unix.MS_RDONLY != 0 {
						what = "look"
						if !strings.Contains(options, "noload") {
							t.Errorf("a look with %q would replay the journal", options)
						}
					} else if !strings.Contains(options, "errors=remount-ro") {
						t.Errorf("got the options %q, want errors=remount-ro", options)
					}
					does = append(does, what)
					if len(c.refuse) > 0 {
						err := c.refuse[0]
						c.refuse = c.refuse[1:]
						return err
					}
					return nil
				},
				unmount: func() { does = append(does, "unmount") },
				grow:    func() error { does = append(does, "grow"); return c.grow },
			}
			err := p.use(c.clean)
			if got := strings.Join(does, " "); got != c.does {
				t.Errorf("done: got %q, want %q", got, c.does)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got the error %v, want %q", err, c.err)
			}
			if got := problems(reporter); (got == "") != (c.problem == "") || !strings.Contains(got, c.problem) {
				t.Errorf("reported: got %q, want %q", got, c.problem)
			}
		})
	}
}

// Without a data partition that preinit could read nothing is tried, and the message has the reason
// and the way out.
func TestOpenDataRefused(t *testing.T) {
	lost := errors.New("no ext4 on it")
	l := &Layout{}
	err := openData(newReporter(), &preinit.State{DataErr: lost}, l)
	if !errors.Is(err, lost) || fault.Code(err) != int(fault.Device) || l.Sweep != nil {
		t.Errorf("got %v (code %d), want a fault of the device that wraps %v", err, fault.Code(err), lost)
	}
}

// A reset that was ordered is done before the root is prepared, and a partition that makes no root
// is released.
func TestOpening(t *testing.T) {
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		dir := nodeDir(t)
		root := filepath.Join(t.TempDir(), "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, filepath.Join(root, "k3os")); err != nil {
			t.Fatal(err)
		}
		if err := OrderReset(filepath.Join(root, "k3os/config")); err != nil {
			t.Fatal(err)
		}
		released := false
		l := &Layout{}
		o := opening{newReporter(), root, func() error { return nil }, func() error {
			if _, err := os.Stat(filepath.Join(root, "k3os/data/home/rancher/file")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the root is prepared before the reset: %v", err)
			}
			return want
		}, func() { released = true }}
		err := o.run(l)
		if !errors.Is(err, want) || released != (want != nil) || (l.Sweep == nil) != (want != nil) {
			t.Errorf("got %v, released %v, sweep %v, want %v", err, released, l.Sweep != nil, want)
		}
		if l.Sweep != nil {
			if err := l.Sweep(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A device that is not there is neither checked nor grown.
func TestOnDisk(t *testing.T) {
	p := onDisk(newReporter(), filepath.Join(t.TempDir(), "none"), 4096)
	if res, err := p.fsck(fsck.Safe); err == nil && !res.Failed() {
		t.Errorf("check: got %+v, want a failure", res)
	}
	if err := p.grow(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("growth: got %v, want %v", err, os.ErrNotExist)
	}
	if p.dir != dataMount {
		t.Errorf("got the place %q, want %q", p.dir, dataMount)
	}
}

// A line of a table that cannot be done is reported, and those after it are done.
func TestEach(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reporter := newReporter()
	each(reporter, []mount.Op{
		mount.Dir{Path: filepath.Join(root, "file", "below"), Mode: 0o755, UID: os.Getuid(), GID: os.Getgid()},
		mount.Symlink{Path: filepath.Join(root, "link"), Target: "file"},
	})
	if got := problems(reporter); !strings.Contains(got, "not as they should be") {
		t.Errorf("reported: got %q, want the line that failed", got)
	}
	if got, err := os.Readlink(filepath.Join(root, "link")); got != "file" {
		t.Errorf("the line after it: got %q %v, want file", got, err)
	}
}

func TestLarger(t *testing.T) {
	for _, c := range []struct {
		now        uint64
		size, unit int64
		blocks     uint64
		more       bool
	}{
		{1024, mib(4), 4096, 1024, false},     // fills it
		{1024, mib(8) - 1, 4096, 2047, false}, // a rest of less than 4 MiB
		{1024, mib(8) + 4096, 4096, 2049, true},
		{1024, mib(64), 1024, 65536, true},
		{4096, mib(4), 4096, 1024, false}, // smaller than its header: nothing is done about that here
	} {
		if blocks, more := larger(c.now, c.size, c.unit); blocks != c.blocks || more != c.more {
			t.Errorf("%d blocks of %d in %d bytes: got %d %v, want %d %v", c.now, c.unit, c.size, blocks, more, c.blocks, c.more)
		}
	}
}

// A file system that fills its device is not touched, and one that cannot be read is an error.
func TestGrowExt4(t *testing.T) {
	name := filepath.Join(t.TempDir(), "disk")
	if err := growExt4(name, 4096); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no device: got %v, want %v", err, os.ErrNotExist)
	}
	if err := os.WriteFile(name, make([]byte, mib(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := growExt4(name, 4096); err == nil {
		t.Error("a device without a file system: got no error")
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := ext4.Options{Size: mib(160), Time: 1760000000, UUID: [16]byte{1}, HashSeed: [16]byte{2}}
	if err := errors.Join(ext4.Write(f, o, nil), f.Truncate(o.Size)); err != nil {
		t.Fatal(err)
	}
	if err := growExt4(name, 4096); err != nil {
		t.Errorf("a full device: got %v, want none", err)
	}
}

func TestMapperMinor(t *testing.T) {
	for text, want := range map[string]uint32{" 59 cpu_dma_latency\n236 device-mapper\n130 watchdog\n": 236, "236 device-mapper": 236, "9 x device-mapper\n7 device-mapper\n": 7} {
		if got, err := mapperMinor(text); err != nil || got != want {
			t.Errorf("%q: got %d %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "130 watchdog\n", "x device-mapper\n", "-1 device-mapper\n"} {
		if got, err := mapperMinor(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

// volume is BOOT with rescue.txt in a file; nil for none.
func volume(t *testing.T, text *string) string {
	t.Helper()
	v := fat.Volume{Label: "BOOT", ID: 7, Size: mib(64), ClusterSize: 512}
	if text != nil {
		v.Files = []fat.File{{Path: config.RescueFile, Size: int64(len(*text)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(*text)), nil
		}}}
	}
	name := filepath.Join(t.TempDir(), "boot1")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(v.Write(f), f.Truncate(v.Size)); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRescue(t *testing.T) {
	no, yes := config.RescueText, "yes\r\n"
	for name, c := range map[string]struct {
		line map[string]string
		file *string
		want string
	}{
		"nothing":         {nil, &no, ""},
		"no file":         {nil, nil, ""},
		"file":            {nil, &yes, config.RescueFile},
		"line":            {map[string]string{"shelf.rescue": ""}, &no, "command line"},
		"the line has no": {map[string]string{"shelf.rescue": "no"}, &no, ""},
		"line no, file":   {map[string]string{"shelf.rescue": "no"}, &yes, config.RescueFile},
	} {
		if got := rescue(newReporter(), c.line, volume(t, c.file)); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if got := rescue(newReporter(), nil, filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("no BOOT: got %q, want none", got)
	}
}

// The answer is written in place, and read as it was meant.
func TestSetRescue(t *testing.T) {
	for _, text := range []string{config.RescueText, "yes", "yes, and more than that"} {
		f, err := os.OpenFile(volume(t, &text), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, want := range []bool{true, false, true} {
			if err := SetRescue(f, want); err != nil {
				t.Fatal(err)
			}
			if got, err := RescueAsked(f); err != nil || got != want {
				t.Errorf("%.10q: got %v %v, want %v", text, got, err, want)
			}
		}
	}
	short := "y"
	for _, text := range []*string{&short, nil} {
		f, err := os.OpenFile(volume(t, text), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := SetRescue(f, true); err == nil {
			t.Error("a file without space for the word: got no error")
		}
	}
}

// A root in which something else is where a mount has to go is none; one that lacks less is.
func TestFurnish(t *testing.T) {
	root := t.TempDir()
	if err := furnish(newReporter(), root); err != nil {
		t.Fatalf("an empty root: %v", err)
	}
	for _, dir := range mountPoints {
		if st, err := os.Stat(root + dir); err != nil || !st.IsDir() {
			t.Errorf("%s: got %v, want a directory", dir, err)
		}
	}
	for _, dir := range []string{"/etc", "/proc"} {
		if err := os.Remove(root + dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := furnish(newReporter(), root); err == nil {
			t.Errorf("a file in the place of %s: got no error", dir)
		}
		if err := os.Remove(root + dir); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(mountPoints, "/usr") {
		t.Error("/usr is not a mount point")
	}
}
