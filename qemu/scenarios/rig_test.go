// Package scenarios boots whole images, built through the public command, and looks at the nodes
// that come up.
//
// The images are those that people flash; what differs is config.yaml. IMGBUILD_FULL=1 adds the
// slow rows, IMGBUILD_K3S=FILE puts a real k3s in the place of the stand-in.
package scenarios

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	nodeboot "imgbuild/init/boot"
	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// patience is for one event under emulation on a busy machine. Nothing is asserted about time; this
// only ends a test that hangs.
const patience = 10 * time.Minute

var (
	work   string     // images and disks of this run, in imgbuild's cache: /tmp is memory on many systems
	key    ssh.Signer // keys for login
	public string     // the same as a line of authorized_keys
	guests = semaphore.NewWeighted(2)
	full   = os.Getenv("IMGBUILD_FULL") != ""
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	remove := func() error { return nil }
	err := func() (err error) {
		dir, err := tool.Scratch("test")
		if err != nil {
			return err
		}
		remove, work = dir.Remove, dir.Path
		temp := filepath.Join(work, "tmp") // for t.TempDir and for the programs that are run
		if err := errors.Join(os.Mkdir(temp, 0o700), os.Setenv("TMPDIR", temp)); err != nil {
			return err
		}
		key, public, err = vm.NewKey()
		return err
	}()
	defer func() { remove() }()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// command is the public command: `make` puts it into bin. IMGBUILD names another one.
var command = sync.OnceValues(func() (string, error) {
	if c := os.Getenv("IMGBUILD"); c != "" {
		return filepath.Abs(c)
	}
	out, err := exec.Command("make", "-s", "-C", "../..", "bin/imgbuild").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make bin/imgbuild: %w\n%s", err, out)
	}
	return filepath.Abs("../../bin/imgbuild")
})

// image is the part of `output=json` that the tests read.
type image struct {
	Image   string
	Version string
	Slot    struct{ Date int64 }
}

var (
	builds   = map[string]func() (image, error){}
	buildsMu sync.Mutex
)

// build makes an image once per run, for the first caller; words are as on the command line.
func build(t *testing.T, config string, words ...string) image {
	t.Helper()
	id := config + strings.Join(words, " ")
	buildsMu.Lock()
	make, ok := builds[id]
	if !ok {
		n := len(builds)
		make = sync.OnceValues(func() (image, error) { return buildImage(n, config, words) })
		builds[id] = make
	}
	buildsMu.Unlock()
	im, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func buildImage(n int, config string, words []string) (im image, err error) {
	program, err := command()
	if err != nil {
		return im, err
	}
	return buildBy(program, n, config, words)
}

// buildBy builds with a program; n is this build's alone.
func buildBy(program string, n int, config string, words []string) (im image, err error) {
	out := filepath.Join(work, fmt.Sprint("out", n))
	file := filepath.Join(work, fmt.Sprint("config", n), "config.yaml")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		return im, err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return im, err
	}
	args := append([]string{"output=json", "out=" + out, "config=" + file}, words...)
	if !strings.Contains(strings.Join(words, " "), "pack=") {
		args = append(args, "pack=no")
	}
	var stdout, stderr bytes.Buffer
	err = withLock(program, words, func(dir string) ([]byte, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
		err := cmd.Run()
		return stdout.Bytes(), err
	})
	if err != nil {
		return im, fmt.Errorf("imgbuild %s: %w\n%s", strings.Join(words, " "), err, stderr.Bytes())
	}
	if strings.Contains(stderr.String()+stdout.String(), "loses set-uid") {
		return im, fmt.Errorf("imgbuild %s: a program with a set-id bit is in no table of overlays/:\n%s", strings.Join(words, " "), stderr.Bytes())
	}
	if err := json.Unmarshal(stdout.Bytes(), &im); err != nil || im.Image == "" {
		return im, fmt.Errorf("imgbuild %s: output=json prints no image: %v\n%.500s", strings.Join(words, " "), err, stdout.Bytes())
	}
	return im, nil
}

// k3s is the file for k3s=: the stand-in, built here, or a real one.
func k3s(t *testing.T, goarch string) string {
	t.Helper()
	if f := os.Getenv("IMGBUILD_K3S"); f != "" && goarch == "arm64" {
		return "k3s=" + f
	}
	return "k3s=" + static(t, goarch, "../fixtures/standin")
}

var (
	statics   = map[string]string{}
	staticsMu sync.Mutex
)

// static builds a Go program that needs nothing of its system.
func static(t *testing.T, goarch, dir string) string {
	t.Helper()
	staticsMu.Lock()
	defer staticsMu.Unlock()
	out := filepath.Join(work, filepath.Base(dir)+"-"+goarch)
	if statics[out] != "" {
		return out
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, dir)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "GOARM=7", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	statics[out] = out
	return out
}

// guest is a running node with the ways to look at it.
type guest struct {
	*vm.VM
	t   *testing.T
	ctx context.Context
}

// boot starts guests that take n of the two places; all give them back when the test ends. The
// guests' output is shown when the test failed.
func boot(t *testing.T, options ...vm.Options) []*guest {
	t.Helper()
	ctx := t.Context()
	n := min(int64(len(options)), 2)
	if err := guests.Acquire(ctx, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guests.Release(n) })
	return start(t, options...)
}

// start starts guests in the places of others that have ended.
func start(t *testing.T, options ...vm.Options) []*guest {
	t.Helper()
	ctx := t.Context()
	var all []*guest
	for _, o := range options {
		o.Dir = filepath.Join(t.TempDir())
		v, err := vm.Start(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Stop)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("console of %s:\n%s", v.Name, v.Output())
			}
		})
		all = append(all, &guest{v, t, ctx})
	}
	return all
}

// sub runs a part of a test in which the guests report to that part.
func sub(t *testing.T, name string, f func(t *testing.T), all ...*guest) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		for _, g := range all {
			whole := g.t
			g.t = t
			defer func() { g.t = whole }()
		}
		f(t)
	})
}

// plug puts a disk, the name of a -blockdev, into the slot port0 while the guest runs.
func (g *guest) plug(drive string) {
	g.t.Helper()
	if err := g.Plug("virtio-blk-pci", "disk0", map[string]any{"bus": "port0", "drive": drive}); err != nil {
		g.t.Fatalf("%s: %v", g.Name, err)
	}
}

// unplug takes that disk away again.
func (g *guest) unplug() {
	g.t.Helper()
	ctx, stop := context.WithTimeout(g.ctx, patience)
	defer stop()
	if err := g.Unplug(ctx, "disk0"); err != nil {
		g.t.Fatalf("%s: %v", g.Name, err)
	}
}

// see waits for a pattern on the console.
func (g *guest) see(pattern string) []string {
	g.t.Helper()
	m, err := g.Expect(g.ctx, pattern, patience)
	if err != nil {
		g.t.Fatalf("%s: %v", g.Name, err)
	}
	return m
}

// up waits for the five steps and the line that reports that the node's services run.
func (g *guest) up() {
	g.t.Helper()
	for _, step := range nodeboot.Steps {
		g.see(`(?m)^(.*\] )?shelf: step ` + step.Name + ` ok`)
	}
	g.see(`shelf: ready`)
}

// login opens a shell as rancher.
func (g *guest) login() *shell {
	g.t.Helper()
	ctx, stop := context.WithTimeout(g.ctx, patience)
	defer stop()
	s, err := g.SSH(ctx, "rancher", key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { s.Close() })
	return &shell{s, g}
}

type shell struct {
	*vm.Shell
	g *guest
}

// run runs a command that must succeed and returns what it prints, without the last line end.
func (s *shell) run(command string) string {
	s.g.t.Helper()
	out, err := s.try(command)
	if err != nil {
		s.g.t.Fatalf("%s: %v", s.g.Name, err)
	}
	return out
}

func (s *shell) try(command string) (string, error) {
	ctx, stop := context.WithTimeout(s.g.ctx, patience)
	defer stop()
	out, err := s.Run(ctx, command)
	return strings.TrimRight(out, "\n"), err
}

// until repeats a command until it succeeds and prints something that contains want.
func (s *shell) until(command, want string) string {
	s.g.t.Helper()
	end, last := time.Now().Add(patience), ""
	for {
		out, err := s.try(command)
		if err == nil && strings.Contains(out, want) {
			return out
		}
		if seen := fmt.Sprintf("%q, %v", out, err); seen != last {
			last = seen
			s.g.t.Logf("%s: %s: waits for %q, has %s", s.g.Name, command, want, seen)
		}
		if time.Now().After(end) {
			s.g.t.Fatalf("%s: %s never printed %q; last: %q, %v", s.g.Name, command, want, out, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// k3sPID is the process of k3s as the supervisor knows it; 0 for none. (Real k3s' processes are
// called k3s-server and k3s-agent.)
func (s *shell) k3sPID() int {
	s.g.t.Helper()
	out := s.until("sudo shelf status -o json || true", `"services": `) // the status is not a failure of ours
	var status struct {
		Services []struct {
			Name string
			PID  int
		}
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		s.g.t.Fatalf("%s: %v: %.500s", s.g.Name, err, out)
	}
	for _, u := range status.Services {
		if u.Name == "k3s" {
			return u.PID
		}
	}
	return 0
}

// off powers nodes off from inside, all together, and waits for the end of QEMU.
func off(all ...*shell) {
	for _, s := range all {
		s.try("sudo shelf poweroff") // the connection may go before the status comes
	}
	for _, s := range all {
		s.gone()
	}
}

func (s *shell) off() {
	s.g.t.Helper()
	off(s)
}

// gone waits for the end of QEMU.
func (s *shell) gone() {
	s.g.t.Helper()
	ctx, stop := context.WithTimeout(s.g.ctx, patience)
	defer stop()
	if err := s.g.Wait(ctx); err != nil {
		s.g.t.Fatalf("%s does not power off: %v", s.g.Name, err)
	}
}

// onBoot writes a file into BOOT of a disk, as its owner would on a laptop.
func onBoot(t *testing.T, disk, name, content string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ref(t, "mcopy", "-o", "-i", disk+"@@16M", file, "::"+name)
}

// ref runs a reference tool on the host; it must succeed.
func ref(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tool.Path(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// duplicate copies an image with its holes.
func duplicate(t *testing.T, src, dst string) {
	t.Helper()
	if err := vm.Copy(dst, src, 0); err != nil {
		t.Fatal(err)
	}
}

// dataFS is how e2fsprogs is given the place of the data partition in a disk image.
func dataFS(disk string) string { return fmt.Sprintf("%s?offset=%d", disk, 1520<<20) }

// cloudConfig is a node's config.yaml: keys for the login, and more lines.
func cloudConfig(hostname, more string) string {
	return fmt.Sprintf("hostname: %s\nssh_authorized_keys:\n- %s\n%s", hostname, public, more)
}

// ahead is how far the LANs' clock is from ours, so that no other source of time could explain what
// a guest thinks.
const ahead = 40 * 24 * time.Hour

// lan makes a network with DHCP and NTP for one guest.
func testLAN(t *testing.T) (*lan.LAN, *vm.Link) {
	t.Helper()
	l, link, err := lan.New(ahead)
	if err != nil {
		t.Fatal(err)
	}
	return l, link
}

// makeKey makes an ssh key: the private half as OpenSSH keeps it in a file, and what signs with it.
func makeKey(t *testing.T) ([]byte, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), signer
}
