package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/qemu/fixtures/nodeflags"
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
	flags, err := nodeflags.Read("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build"}, flags, []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-overlay", overlay, "-o", out, pkg})...)
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
			t.Fatalf("%s has %d times %q: %v, want 1", e.file, strings.Count(string(text), e.old), e.old, err)
		}
		to := filepath.Join(dir, fmt.Sprint(i, filepath.Base(e.file)))
		if err := os.WriteFile(to, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[from] = to
	}
	return replace
}

// otherInit builds an imgbuild whose images, for a GOARCH, have other programs of the node: those
// of a commit that makes these edits. Edits of other files change imgbuild itself.
func otherInit(t *testing.T, name, goarch string, edits ...edit) string {
	t.Helper()
	if _, err := command(); err != nil { // builds the programs that are not replaced
		t.Fatal(err)
	}
	var source, own []edit
	for _, e := range edits {
		if strings.HasPrefix(e.file, "init/") || strings.HasPrefix(e.file, "cmd/init/") || strings.HasPrefix(e.file, "cmd/shelf/") {
			source = append(source, e)
		} else {
			own = append(own, e)
		}
	}
	dir, embedded := t.TempDir(), changed(t, own...)
	files := changed(t, source...)
	for _, of := range []string{"init", "shelf"} {
		as := of + "-" + map[string]string{"arm64": "arm64", "arm": "armv7"}[goarch]
		program := filepath.Join(dir, as+"-"+name)
		overlaid(t, program, "../../cmd/"+of, []string{"GOOS=linux", "GOARCH=" + goarch, "GOARM=7"}, files)
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
	im, err := buildBy(program, int(releaseNumber.Add(1)), r.config, append(slices.Clone(words), "sign="+r.key))
	if err != nil {
		t.Fatal(err)
	}
	imgbuildMust(t, program, "bundle", im.Image, "sign="+r.key, "floor=2")
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
	got := s.until("sudo shelf status -o json || true", `"version": `) // a busy node may not answer in time
	if !strings.Contains(got, fmt.Sprintf("%q: %q", "version", r.version)) || !strings.Contains(got, fmt.Sprintf("%q: %q", "slot", slot)) {
		t.Errorf("the node should run %s in slot %s:\n%.1500s", r.version, slot, got)
	}
}

// named sets another version of the init: the smallest change that makes another system.
func named(version string) edit {
	return edit{"cmd/init/main.go", `version = "unknown"`, fmt.Sprintf("version = %q", version)}
}

// standinThat builds a k3s stand-in with a change.
func standinThat(t *testing.T, name string, edits ...edit) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "k3s-"+name)
	overlaid(t, out, "../fixtures/standin", []string{"GOOS=linux", "GOARCH=arm64"}, changed(t, edits...))
	return "k3s=" + out
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
	imgbuildMust(t, "", append([]string{"bundle", r.image, "sign=" + key, "out=" + out}, slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "out=") })...)...)
	r.bundle = out
	return r
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

// running is an imgbuild whose output can be waited for.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	end chan struct{} // closed when it has ended
	err error         // of its end

	mu   sync.Mutex
	text bytes.Buffer
	seen int           // see has returned what is before
	more chan struct{} // closed at each piece of output, and replaced
}

// begin starts imgbuild upgrade against a guest.
func (l laptop) begin(t *testing.T, g *guest, rel release, words ...string) *running {
	t.Helper()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, end: make(chan struct{}), more: make(chan struct{})}
	r.cmd = exec.CommandContext(t.Context(), program, append([]string{"upgrade", g.Forward[22], "bundle=" + rel.bundle, "key=accept-new"}, words...)...)
	r.cmd.Env = append(os.Environ(), "HOME="+l.home, "SSH_AUTH_SOCK=")
	r.cmd.Stdout, r.cmd.Stderr = r, r
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.end)
	}()
	return r
}

func (r *running) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(p)
	close(r.more)
	r.more = make(chan struct{})
	return len(p), nil
}

func (r *running) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// see waits until it has printed a match.
func (r *running) see(pattern string) {
	r.t.Helper()
	re, limit := regexp.MustCompile(pattern), time.After(2*patience)
	for {
		r.mu.Lock()
		at, more := re.FindIndex(r.text.Bytes()[r.seen:]), r.more
		if at != nil {
			r.seen += at[1]
		}
		r.mu.Unlock()
		if at != nil {
			return
		}
		select {
		case <-more:
		case <-r.end:
			if !re.MatchString(r.String()) {
				r.t.Fatalf("imgbuild ended (%v) before it printed %q:\n%s", r.err, pattern, r)
			}
			return
		case <-limit:
			r.t.Fatalf("imgbuild does not print %q:\n%s", pattern, r)
		}
	}
}

// code waits for its end.
func (r *running) code() int {
	r.t.Helper()
	<-r.end
	var status *exec.ExitError
	if r.err != nil && !errors.As(r.err, &status) {
		r.t.Fatal(r.err)
	}
	r.t.Logf("%q ended with %d\n%s", r.cmd.Args[1:], r.cmd.ProcessState.ExitCode(), r)
	return r.cmd.ProcessState.ExitCode()
}
