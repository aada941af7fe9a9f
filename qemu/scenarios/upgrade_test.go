package scenarios

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/bundle"
	"imgbuild/qemu/vm"
)

// edit replaces a piece of a source file that is there exactly once.
type edit struct{ file, old, new string }

// overlaid builds a program with some source files changed.
func overlaid(t *testing.T, out, pkg string, env []string, replace map[string]string) {
	t.Helper()
	text := &strings.Builder{}
	text.WriteString(`{"Replace":{`)
	n := 0
	for from, to := range replace {
		if n++; n > 1 {
			text.WriteString(",")
		}
		fmt.Fprintf(text, "%q:%q", from, to)
	}
	text.WriteString("}}")
	overlay := out + ".overlay"
	if err := os.WriteFile(overlay, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-overlay", overlay, "-o", out, pkg)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

// changed writes changed copies of source files and returns which file each replaces.
func changed(t *testing.T, edits ...edit) map[string]string {
	t.Helper()
	replace, dir := map[string]string{}, t.TempDir()
	for i, e := range edits {
		from, err := filepath.Abs(filepath.Join("../..", e.file))
		if err != nil {
			t.Fatal(err)
		}
		source := from
		if to := replace[from]; to != "" {
			source = to
		}
		text, err := os.ReadFile(source)
		if err != nil || strings.Count(string(text), e.old) != 1 {
			t.Fatalf("%s has %d times %q: %v", e.file, strings.Count(string(text), e.old), e.old, err)
		}
		to := filepath.Join(dir, fmt.Sprint(i, filepath.Base(e.file)))
		if err := os.WriteFile(to, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[from] = to
	}
	return replace
}

// otherInit builds an imgbuild whose images have another init: the one of a commit that makes these
// edits.
func otherInit(t *testing.T, name string, edits ...edit) string {
	t.Helper()
	if _, err := command(); err != nil { // builds the programs that are not replaced
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace, embedded := changed(t, edits...), map[string]string{}
	for as, arch := range map[string]string{"init-arm64": "arm64", "init-armv7": "arm"} {
		program := filepath.Join(dir, as+"-"+name)
		overlaid(t, program, "../../cmd/init", []string{"GOOS=linux", "GOARCH=" + arch, "GOARM=7"}, replace)
		path, err := filepath.Abs("../../builder/image/programs/" + as)
		if err != nil {
			t.Fatal(err)
		}
		embedded[path] = program
	}
	out := filepath.Join(dir, "imgbuild-"+name)
	overlaid(t, out, "../../cmd/imgbuild", nil, embedded)
	return out
}

// release is a version of the system as its maker has it.
type release struct {
	image   string
	bundle  string
	version string
}

// releases builds images and their bundles, all signed by one key.
type releases struct{ dir, key, config string }

func newReleases(t *testing.T, config string) releases {
	t.Helper()
	r := releases{dir: t.TempDir(), config: config}
	r.key = filepath.Join(r.dir, "key")
	imgbuildMust(t, "", "keygen", "key="+r.key, "passphrase=no")
	return r
}

// imgbuildMust runs a program, "" for the public command, which must succeed.
func imgbuildMust(t *testing.T, program string, words ...string) {
	t.Helper()
	if program == "" {
		var err error
		if program, err = command(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), program, words...).CombinedOutput(); err != nil {
		t.Fatalf("imgbuild %q: %v\n%s", words, err, out)
	}
}

// build makes one release; program is an imgbuild, "" for the public command.
func (r releases) build(t *testing.T, program string, words ...string) release {
	t.Helper()
	if program == "" {
		var err error
		if program, err = command(); err != nil {
			t.Fatal(err)
		}
	}
	im, err := buildBy(program, int(releaseNumber.Add(1)), r.config, append(slices.Clone(words), "key="+r.key))
	if err != nil {
		t.Fatal(err)
	}
	imgbuildMust(t, program, "bundle", im.Image, "key="+r.key, "floor=2")
	return release{im.Image, strings.TrimSuffix(im.Image, ".img") + bundle.Suffix, im.Version}
}

// releaseNumber returns a place for each build, after those of build.
var releaseNumber atomic.Int64

func init() { releaseNumber.Store(1000) }

// upgrade runs imgbuild upgrade against a guest and returns what it prints and its exit code.
func (l laptop) upgrade(t *testing.T, g *guest, r release, words ...string) (string, int) {
	t.Helper()
	out, code := l.imgbuild(t, append([]string{"upgrade", g.Forward[22], "bundle=" + r.bundle, "key=accept-new"}, words...)...)
	t.Logf("imgbuild upgrade to %s: %d\n%s", r.version, code, out)
	return out, code
}

// runs reports which version and slot a node runs, and how many problems it has.
func runs(t *testing.T, s *shell, r release, slot string) {
	t.Helper()
	got := s.run("sudo shelf status -o json || true")
	if !strings.Contains(got, fmt.Sprintf("%q: %q", "version", r.version)) || !strings.Contains(got, fmt.Sprintf("%q: %q", "slot", slot)) {
		t.Errorf("the node should run %s in slot %s:\n%.1500s", r.version, slot, got)
	}
}

// standinThat builds a k3s stand-in with a change.
func standinThat(t *testing.T, name string, edits ...edit) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "k3s-"+name)
	overlaid(t, out, "../fixtures/standin", []string{"GOOS=linux", "GOARCH=arm64"}, changed(t, edits...))
	return "k3s=" + out
}

const mainOfInit = "		boot.Main(version)\n"

// TestUpgrade upgrades a server over ssh through the public command, U-Boot choosing what boots:
// one good version, bad ones that the node leaves again, or (FULL) does not take, and one that is
// cut off by three power cuts.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	l := newLaptop(t)
	config := func(deadline string) string {
		return fmt.Sprintf("hostname: shelf-server\nssh_authorized_keys:\n- %s\n- %s\nk3os:\n  token: a-long-random-word\n%s", public, l.public, deadline)
	}
	all := newReleases(t, config(""))
	words := []string{"board=rpi4", "role=server"}
	good := append(slices.Clone(words), k3s(t, "arm64"))
	v1 := all.build(t, "", good...)
	v2 := all.build(t, otherInit(t, "two", edit{"cmd/init/main.go", `version = "unknown"`, `version = "two"`}), good...)
	stick := filepath.Join(t.TempDir(), "stick.img")
	if err := os.WriteFile(stick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(stick, 128<<20); err != nil {
		t.Fatal(err)
	}
	ref(t, "mkfs.vfat", "-n", "STICK", stick)
	_, cable := testLAN(t)
	args := []string{"-device", "pcie-root-port,id=port0,chassis=1,slot=1", "-blockdev", "driver=raw,node-name=stick,file.driver=file,file.filename=" + stick}
	g := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{cable}, Args: args})[0]
	g.up()
	s := g.login()
	s.until("sudo k3s kubectl get --raw /readyz", "ok")
	s.run("echo kept >/home/rancher/kept")
	runs(t, s, v1, "a")

	sub(t, "committed", func(t *testing.T) {
		out, code := l.upgrade(t, g, v2, "from="+v1.image)
		if code != 0 || !strings.Contains(out, "is committed") || !strings.Contains(out, "making the delta") {
			t.Fatalf("got code %d", code)
		}
		g.see(`shelf: booting slot b`)
		s = g.login()
		runs(t, s, v2, "b")
		s.until("sudo k3s kubectl get --raw /readyz", "ok")
		if got := s.run("cat /home/rancher/kept; sudo shelf history"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, "committed") {
			t.Errorf("after the upgrade: %q", got)
		}
		if out, code := l.upgrade(t, g, v2); code != 0 || !strings.Contains(out, "already") {
			t.Errorf("once more: code %d: %s", code, out)
		}
	}, g)
	// The two parts of test-full, to stay within the budget.
	inFull := func(name string, f func(*testing.T)) {
		if full {
			sub(t, name, f, g)
		}
	}
	inFull("refused", func(t *testing.T) {
		other := newReleases(t, "")
		rows := map[string]release{"a flipped byte": flipped(t, v1), "another key": again(t, v1, other.key), "below the floor": again(t, v1, all.key, "floor=1")}
		rows["another family"] = all.build(t, "", "board=qemu-arm64", "role=server", good[2])
		for name, r := range rows {
			if out, code := l.upgrade(t, g, r, "from="+r.bundle, "out="+t.TempDir()); code != 3 && code != 5 || strings.Contains(out, "reboots into") {
				t.Errorf("%s: got code %d", name, code)
			}
		}
		s = g.login()
		runs(t, s, v2, "b")
	})
	never := all.build(t, "", append(slices.Clone(words), standinThat(t, "never", edit{"qemu/fixtures/standin/main.go", "		err = run(ctx, args[0], args[1:])\n", "		<-ctx.Done()\n"}))...)
	panics := all.build(t, otherInit(t, "panics", edit{"cmd/init/main.go", mainOfInit, "		panic(\"the init of a bad version\")\n"}, edit{"cmd/init/main.go", `version = "unknown"`, `version = "three"`},
		edit{"cmd/init/main.go", "	\"imgbuild/init/boot\"\n", "	_ \"imgbuild/init/boot\"\n"}), good...)
	inFull("from a web server and a stick", func(t *testing.T) {
		s = g.login()
		web := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(never.bundle))))
		defer web.Close()
		address := strings.Replace(web.URL, "127.0.0.1", vm.Host, 1) + "/"
		s.run("sudo shelf upgrade arm=no " + address + filepath.Base(never.bundle))
		stale := again(t, never, all.key, "expires=2020-01-31", "out="+filepath.Join(filepath.Dir(never.bundle), "stale.upgrade"))
		if out, err := s.try("sudo shelf upgrade arm=no " + address + filepath.Base(stale.bundle) + " 2>&1"); err == nil || !strings.Contains(out+err.Error(), "2020-01-31") {
			t.Errorf("an expired bundle: %s, %v", out, err)
		}
		ref(t, "mcopy", "-i", stick, panics.bundle, "::")
		g.plug("stick")
		s.until("ls /dev/vdb", "vdb")
		s.run("sudo shelf upgrade arm=no usb")
		if got := s.run("grep -c vdb /proc/mounts || true"); got != "0" {
			t.Errorf("the stick is mounted still: %s", got)
		}
		g.unplug()
	})
	fallsBack := func(name string, r release, reason string) {
		sub(t, name, func(t *testing.T) {
			out, code := l.upgrade(t, g, r, "from="+v2.image)
			if code != 7 || !regexp.MustCompile(reason).MatchString(out) {
				t.Errorf("got code %d, want 7 with %q", code, reason)
			}
			s = g.login()
			runs(t, s, v2, "b")
			if got := s.run("sudo shelf history"); !strings.Contains(got, "rolled back") {
				t.Errorf("history: %s", got)
			}
		}, g)
	}
	fallsBack("the init panics", panics, `rolled back`)
	hangs := all.build(t, otherInit(t, "hangs", edit{"init/boot/steps_linux.go", "	n.Pre().Watchdog.Limit(s.Limit)\n", "	n.Pre().Watchdog.Limit(time.Second)\n	if number > 1 {\n		select {}\n	}\n"},
		edit{"init/start/preinit/watchdog.go", "const watchdogSeconds = 60", "const watchdogSeconds = 10"}), good...)
	fallsBack("a hang", hangs, `rolled back`)
	if out, code := l.apply(t, g, config("upgrade:\n  deadline: 40\n")); code != 0 {
		t.Fatalf("code %d: %s", code, out)
	}
	fallsBack("the role never gets ready", never, `rolled back .*k3s`)
	if out, code := l.apply(t, g, config("")); code != 0 {
		t.Fatalf("code %d: %s", code, out)
	}

	sub(t, "three power cuts", func(t *testing.T) {
		v3 := all.build(t, otherInit(t, "four", edit{"cmd/init/main.go", `version = "unknown"`, `version = "four"`}), good...)
		// While the slot is written.
		l.cutAt(t, g, v3, `\bwrite\b`)
		g = onward(t, g)
		s = g.login()
		runs(t, s, v2, "b")
		// When it is armed, before the reboot.
		l.cutAt(t, g, v3, `is written to slot`)
		g = onward(t, g)
		// In the trial.
		g.Stop()
		g = onward(t, g)
		s = g.login()
		s.until("sudo shelf history", v3.version+", from "+v2.version+", slot a, by ssh: committed")
		runs(t, s, v3, "a")
		if got := s.run("cat /home/rancher/kept"); got != "kept" {
			t.Errorf("after the cuts: %q", got)
		}
		s.off()
		if r := records(t, g.Disk); r.Active != bootstate.A || r.Trial != "" || r.A != bootstate.Good {
			t.Errorf("the boot record is %+v", r)
		}
	}, g)
}

// TestUpgrade32 upgrades a 32-bit node. FULL: it costs what the others do.
func TestUpgrade32(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, fmt.Sprintf("hostname: shelf-worker\nssh_authorized_keys:\n- %s\n- %s\n", public, l.public))
	words := []string{"board=qemu-arm", "role=worker", k3s(t, "arm")}
	v1 := all.build(t, "", words...)
	v2 := all.build(t, otherInit(t, "two32", edit{"cmd/init/main.go", `version = "unknown"`, `version = "two"`}), words...)
	g := boot(t, vm.Options{Image: v1.image, Name: "worker32"})[0]
	g.up()
	if out, code := l.upgrade(t, g, v2, "from="+v1.image); code != 0 || !strings.Contains(out, "is committed") {
		t.Fatalf("got code %d", code)
	}
	s := g.login()
	runs(t, s, v2, "b")
	s.off()
}

// again signs a release once more, with a key and other promises.
func again(t *testing.T, r release, key string, words ...string) release {
	t.Helper()
	out := filepath.Join(t.TempDir(), "again"+bundle.Suffix)
	for _, w := range words {
		if file, ok := strings.CutPrefix(w, "out="); ok {
			out = file
		}
	}
	imgbuildMust(t, "", append([]string{"bundle", r.image, "key=" + key, "out=" + out}, slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "out=") })...)...)
	r.bundle = out
	return r
}

// onward starts a guest on the disk that another one left.
func onward(t *testing.T, g *guest) *guest {
	t.Helper()
	_, cable := testLAN(t)
	n := start(t, vm.Options{Image: g.Disk, Kept: true, Name: "server", Machine: "virt", Memory: 2048, Links: []*vm.Link{cable}})[0]
	n.up()
	return n
}

// flipped returns a release whose bundle has one wrong byte, in its manifest. One in a piece that
// the node has already would not matter.
func flipped(t *testing.T, r release) release {
	t.Helper()
	data, err := os.ReadFile(r.bundle)
	if err != nil {
		t.Fatal(err)
	}
	data[600] ^= 4
	r.bundle = filepath.Join(t.TempDir(), "flipped"+bundle.Suffix)
	if err := os.WriteFile(r.bundle, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// cutAt begins an upgrade and ends QEMU as soon as imgbuild prints a line that matches.
func (l laptop) cutAt(t *testing.T, g *guest, r release, pattern string) {
	t.Helper()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "upgrade", g.Forward[22], "bundle="+r.bundle, "key=accept-new")
	cmd.Env = append(os.Environ(), "HOME="+l.home, "SSH_AUTH_SOCK=")
	w := &watcher{pattern: regexp.MustCompile(pattern), hit: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-w.hit:
		g.Stop()
	case err := <-ended:
		t.Fatalf("imgbuild upgrade ended (%v) before it printed %q:\n%s", err, pattern, w)
	}
	_ = cmd.Process.Signal(os.Interrupt) // it would wait for a node that is gone
	<-ended
}

// watcher keeps what is written and closes hit at the first match.
type watcher struct {
	mu      sync.Mutex
	text    bytes.Buffer
	pattern *regexp.Regexp
	hit     chan struct{}
	done    bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.done && w.pattern.Match(w.text.Bytes()) {
		w.done = true
		close(w.hit)
	}
	return len(p), nil
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
