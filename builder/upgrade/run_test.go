package upgrade

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/ssh"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bundle"
	"imgbuild/builder/remote"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
	"imgbuild/qemu/fixtures/testslot"
)

var pair = sync.OnceValue(func() func(t *testing.T) versions {
	var v versions
	var mu sync.Mutex
	return func(t *testing.T) versions {
		mu.Lock()
		defer mu.Unlock()
		if v.old == nil {
			v.old, v.new = testslot.New(t, testslot.Version{}), testslot.New(t, testslot.Version{Kernel: 40, Init: 10, Lib: 25})
		}
		// Keys and files are each test's own.
		w := v
		pub, key, err := minisign.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w.key, w.dir = pub, t.TempDir()
		for name, data := range map[string][]byte{"old": v.old, "new": v.new} {
			s, err := bundle.Open(&memory{data})
			if err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Sign(s, key, bundle.Options{Floor: bundle.Floor})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(w.dir, name+".upgrade")
			if err := bundle.WriteFile(t.Context(), file, b); err != nil {
				t.Fatal(err)
			}
			if name == "new" {
				w.bundle, w.newSum = file, s.Sum
			} else {
				w.oldSum = s.Sum
			}
		}
		return w
	}
})

// laptop is a home with an ssh key, nodes that let it in, and the options of a run.
func laptop(t *testing.T, names ...string) (Options, []*fake, *journal, *bytes.Buffer) {
	t.Helper()
	v := pair()(t)
	_, line := sshd.Home(t, "")
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out, j := &bytes.Buffer{}, &journal{}
	o := Options{Dir: v.dir, Bundle: v.bundle, Drain: true, Login: remote.Options{Key: "accept-new"}, Cache: cache, Keys: format.Keys{v.key},
		Out: out, Show: silent{}, Pause: time.Millisecond, Limit: time.Minute}
	var all []*fake
	for _, name := range names {
		name, role, _ := strings.Cut(name, "=")
		n := &fake{t: t, v: v, j: j, name: name, role: role, runs: v.oldSum, keys: []string{v.key.String()}}
		n.Server = sshd.Start(t, "exec", n.answer)
		n.Allow(line)
		all = append(all, n)
		o.Hosts = append(o.Hosts, n.Address)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("journal: %s\noutput:\n%s", j, out)
		}
	})
	return o, all, j, out
}

type silent struct{}

func (silent) Progress(string, int64, int64) {}
func (silent) Done()                         {}

// shown keeps what a person would see of the steps.
type shown struct{ lines []string }

func (s *shown) Progress(step string, done, total int64) {
	s.lines = append(s.lines, fmt.Sprintf("%s %d/%d", step[strings.LastIndex(step, ": ")+2:], done, total))
}
func (s *shown) Done() { s.lines = append(s.lines, "done") }

// A step ends when it is over, not when the node has rebooted.
func TestProgress(t *testing.T) {
	o, _, _, _ := laptop(t, "one=worker")
	var s shown
	o.Show = &s
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(s.lines, ", "), "write 1/2, write 2/2, done, read back 2/2, done"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A system is under trial when its node reports that, not because what runs before it has the same
// version.
func TestTrialIsShown(t *testing.T) {
	for orders, want := range map[bool]int{false: 1, true: 0} {
		o, nodes, _, out := laptop(t, "one=worker")
		nodes[0].named, nodes[0].orders = nodes[0].newVersion(), orders
		if err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "is up, under trial"); got != want {
			t.Errorf("a node that reports a trial: %v: shown %d times, want %d", !orders, got, want)
		}
	}
}

func TestOneNode(t *testing.T) {
	o, nodes, j, out := laptop(t, "one=worker")
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := nodes[0]; !n.whole() || n.res.Patched == 0 || n.res.Fetched > 1<<16 {
		t.Errorf("the slot is not what was signed, or the delta was not used: %+v", n.res)
	}
	if got, want := j.String(), "one: write, one: arm, one: reboot, one: committed"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(out.String(), "is committed") {
		t.Error("no report that it is committed")
	}
	if err := Run(t.Context(), o); err != nil || !strings.HasSuffix(j.String(), "one: committed") {
		t.Errorf("once more: %v, %s", err, j)
	}
}

// TestUnderTrial: the laptop of an earlier run was closed while the node had its trial.
func TestUnderTrial(t *testing.T) {
	for _, result := range []string{"", "no network"} {
		o, nodes, j, _ := laptop(t, "one=worker")
		nodes[0].armed, nodes[0].result = true, result
		if result != "" { // then it is upgraded, and goes well
			nodes[0].onEnd = func(n *fake) { n.result = "" }
		}
		if err := Run(t.Context(), o); err != nil {
			t.Errorf("%q: %v", result, err)
		}
		want := "one: committed"
		if result != "" {
			want = "one: write, one: arm, one: reboot, one: committed"
		}
		if got := j.String(); got != want {
			t.Errorf("%q: got %s, want %s", result, got, want)
		}
	}
}

// TestUnknownSlot: the laptop lacks what the node runs; what both have is copied all the same.
func TestUnknownSlot(t *testing.T) {
	o, nodes, _, out := laptop(t, "one=worker")
	only := t.TempDir()
	o.Dir, o.Bundle = only, filepath.Join(only, "new.upgrade")
	copyFile(t, nodes[0].v.bundle, o.Bundle)
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := nodes[0]; !n.whole() || n.res.Copied == 0 || n.res.Patched != 0 || !strings.Contains(out.String(), "from=FILE") {
		t.Errorf("got %+v", n.res)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	f, err := bundle.OpenOffer(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, err := f.Source([32]byte{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Range(t.Context(), 0, f.Header.Pieces.End())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, data)
}

// TestBrokenConnection: the connection breaks in the check, and twice while the slot is written.
// The node has lost its power each time, and takes no upgrade while it boots.
func TestBrokenConnection(t *testing.T) {
	o, nodes, j, _ := laptop(t, "one=worker")
	o.Dir = t.TempDir() // without a delta, so that there is much to send
	copyFile(t, o.Bundle, filepath.Join(o.Dir, "new.upgrade"))
	o.Bundle = ""
	nodes[0].cuts, nodes[0].reboots = []int64{100, 1 << 40, 300_000, 200_000}, 3
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if n := nodes[0]; !n.whole() || n.res.Kept < 100_000 {
		t.Errorf("what was there is not kept: %+v", n.res)
	}
	if got := strings.Count(j.String(), "one: cut"); got != 3 {
		t.Errorf("the connection was cut %d times, want 3: %s", got, j)
	}
}

func TestRolledBack(t *testing.T) {
	o, nodes, _, _ := laptop(t, "one=worker")
	nodes[0].result = "k3s did not become ready"
	err := Run(t.Context(), o)
	if fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "k3s did not become ready") {
		t.Errorf("got %v", err)
	}
}

func TestKeys(t *testing.T) {
	for name, c := range map[string]struct {
		answer  bool
		others  bool // the node trusts another key
		mine    bool
		want    fault.Kind
		journal string
	}{
		"yes":         {true, false, true, 0, "one: key, one: write, one: arm, one: reboot, one: committed"},
		"no":          {false, false, true, fault.Verify, ""},
		"no own key":  {true, false, false, fault.Verify, ""},
		"another key": {true, true, true, fault.Verify, ""},
	} {
		o, nodes, j, _ := laptop(t, "one=worker")
		nodes[0].keys = nil
		if c.others {
			other, _, err := minisign.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			nodes[0].keys = []string{other.String()}
		}
		if !c.mine {
			o.Keys = nil
		}
		o.Ask = func(string) bool { return c.answer }
		if err := Run(t.Context(), o); fault.Code(err) != int(c.want) {
			t.Errorf("%s: got code %d %v, want %d", name, fault.Code(err), err, c.want)
		}
		if got := j.String(); got != c.journal {
			t.Errorf("%s: got %s, want %s", name, got, c.journal)
		}
	}
}

func TestOldShelf(t *testing.T) {
	o, nodes, _, _ := laptop(t, "one=worker")
	nodes[0].Server = sshd.Start(t, "exec", func(ch ssh.Channel, command string) int {
		if strings.Contains(command, "status") {
			fmt.Fprint(ch, `{"hostname":"one","role":"worker","health":"good"}`)
			return 0
		}
		fmt.Fprintln(ch.Stderr(), "shelf: there is no command upgrade")
		return 2
	})
	_, line := sshd.Home(t, "")
	nodes[0].Allow(line)
	o.Hosts = []string{nodes[0].Address}
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Internal) || !strings.Contains(err.Error(), "there is no command upgrade") {
		t.Errorf("got %v", err)
	}
}

// cluster returns what the server's kubectl reports about nodes.
func members(nodes []*fake) (list []Member) {
	for _, n := range nodes {
		if n.role == "server" || n.role == "worker" {
			list = append(list, Member{Name: n.name, Server: n.role == "server", Ready: true})
		}
	}
	return list
}

func each(name string, steps ...string) string {
	var out []string
	for _, s := range steps {
		out = append(out, name+": "+s)
	}
	return strings.Join(out, ", ")
}

func TestManyNodes(t *testing.T) {
	up := func(name string) string { return each(name, "write", "arm", "reboot", "committed") }
	drained := func(name string) string {
		return name + ": write, drain " + name + ", " + each(name, "arm", "reboot", "committed") + ", uncordon " + name
	}
	all := []string{"router=router", "w1=worker", "s1=server", "nas=storage", "w2=worker"}
	t.Run("in order", func(t *testing.T) {
		o, nodes, j, out := laptop(t, all...)
		nodes[2].members = members(nodes)
		if err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), ": takes pods again"); got != 2 {
			t.Errorf("%d nodes are said to take pods again, want 2", got)
		}
		want := strings.Join([]string{up("s1"), drained("w1"), drained("w2"), up("nas"), up("router")}, ", ")
		if got := j.String(); got != want {
			t.Errorf("got\n%s, want\n%s", got, want)
		}
	})
	t.Run("one does not take it", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, all...)
		nodes[2].members = members(nodes)
		nodes[4].refuse = fault.New(fault.Verify, "take a newer one", "it is below the floor")
		err := Run(t.Context(), o)
		if fault.Code(err) != int(fault.Verify) || !strings.Contains(err.Error(), "nothing was written") || j.String() != "" {
			t.Errorf("got %v, %s", err, j)
		}
	})
	t.Run("one is degraded", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, all...)
		nodes[2].members = members(nodes)
		nodes[1].health = "bad"
		if err := Run(t.Context(), o); fault.Code(err) != int(fault.Unhealthy) || j.String() != "" {
			t.Errorf("got %v, %s", err, j)
		}
		o.Force = []string{"w1"}
		if err := Run(t.Context(), o); err != nil || !strings.Contains(j.String(), "w1: committed") {
			t.Errorf("forced: got %v, %s", err, j)
		}
	})
	t.Run("the first failure stops it, and the next run goes on", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, "w1=worker", "s1=server", "w2=worker")
		nodes[1].members = members(nodes)
		nodes[0].result = "no network"
		err := Run(t.Context(), o)
		want := up("s1") + ", w1: write, drain w1, w1: arm, w1: reboot, uncordon w1"
		if got := j.String(); fault.Code(err) != int(fault.Unhealthy) || got != want {
			t.Errorf("got %v\n%s, want\n%s", err, got, want)
		}
		if err != nil && (!strings.Contains(err.Error(), "upgraded: "+nodes[1].Address) || !strings.Contains(err.Error(), "not touched: "+nodes[2].Address)) {
			t.Errorf("the error does not show the state of the nodes: %v", err)
		}
		nodes[0].result, nodes[0].ended, nodes[0].asked = "", false, 0
		j.lines = nil
		if err := Run(t.Context(), o); err != nil || j.String() != drained("w1")+", "+drained("w2") {
			t.Errorf("once more: %v, %s", err, j)
		}
	})
	t.Run("a pod that stays", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, "w1=worker", "s1=server", "w2=worker")
		nodes[1].members, nodes[1].stuck = members(nodes), "w1"
		err := Run(t.Context(), o)
		if fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "web-0") {
			t.Errorf("got %v", err)
		}
		if got, want := j.String(), up("s1")+", w1: write, drain w1, uncordon w1"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("interrupted while pods move away", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, "w1=worker", "s1=server")
		ctx, stop := context.WithCancel(t.Context())
		nodes[1].members, nodes[1].drainHit = members(nodes), stop
		if err := Run(ctx, o); err == nil {
			t.Error("there is no error")
		}
		if got := j.String(); !strings.HasSuffix(got, "drain w1, uncordon w1") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("prefetch", func(t *testing.T) {
		o, nodes, j, _ := laptop(t, "w1=worker", "s1=server")
		nodes[1].members, o.Prefetch = members(nodes), true
		if err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		want := "s1: write, w1: write, " + up("s1") + ", " + drained("w1")
		if got := j.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("the same node twice", func(t *testing.T) {
		o, _, _, _ := laptop(t, "w1=worker")
		o.Hosts = append(o.Hosts, o.Hosts[0])
		if err := Run(t.Context(), o); fault.Code(err) != int(fault.Usage) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChoose(t *testing.T) {
	o, nodes, j, _ := laptop(t, "x=toaster")
	o.Bundle = ""
	err := Run(t.Context(), o)
	if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "none for a toaster") || j.String() != "" {
		t.Errorf("got %v", err)
	}
	o.Dir = t.TempDir()
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Input) {
		t.Errorf("no bundles: got %v", err)
	}
	write(t, filepath.Join(o.Dir, "x.upgrade"), []byte("nonsense"))
	o.Bundle = filepath.Join(o.Dir, "x.upgrade")
	if err := Run(t.Context(), o); fault.Code(err) != int(fault.Input) {
		t.Errorf("nonsense: got %v", err)
	}
	_ = nodes
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
