package rotation

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

const oldWord, newWord = "the-old-and-long-word", "the-new-and-long-word"

// fake is a node without k3s and PID 1.
type fake struct {
	*Node
	dir   string
	asked []string // of PID 1, and commands
	away  int      // looks at k3s at which it is not ready
	fails string   // the request that fails
}

func newFake(t *testing.T, role string) *fake {
	t.Helper()
	f := &fake{dir: t.TempDir()}
	cfg := &config.Config{}
	cfg.Shelf.Role = role
	cfg.K3OS.K3sArgs = []string{"server", "--data-dir=" + f.dir}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.Node = n
	n.root, n.pause, n.name = f.dir, 0, filepath.Join(f.dir, "name")
	n.tokens = k3s.Tokens{Part: filepath.Join(f.dir, "part/token.yaml"), Note: filepath.Join(f.dir, "note")}
	n.call = func(r control.Request, data any) error {
		f.asked = append(f.asked, strings.TrimSpace(r.Verb+" "+r.Args["name"]))
		if r.Verb == f.fails {
			return errors.New("refused")
		}
		if s, ok := data.(*status.Status); ok {
			s.Hostname = "host"
			s.Services = []status.Service{{Name: "sshd", Ready: true}, {Name: k3s.Name, Ready: f.away == 0}}
			f.away = max(0, f.away-1)
		}
		return nil
	}
	n.run = func(_ context.Context, argv ...string) error {
		f.asked = append(f.asked, strings.Join(argv[:3], " "))
		return nil
	}
	n.list = func(context.Context, *config.Config) ([]k3s.Member, error) {
		return []k3s.Member{{Name: "a"}, {Name: "b"}}, nil
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "server"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "server/token"), []byte("K10aa::server:"+oldWord+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// k3s is restarted with the new configuration, and the change ends when k3s is ready again.
func TestChange(t *testing.T) {
	for _, c := range []struct {
		role, want string
		do         func(*fake) error
	}{
		{k3s.Server, "k3s token rotate, reload, restart k3s, status, status, status", func(f *fake) error { return f.Rotate(t.Context(), newWord) }},
		{k3s.Server, "reload, restart k3s, status, status, status", func(f *fake) error { return f.Set(t.Context(), newWord) }},
		{k3s.Worker, "reload, restart k3s, status, status, status", func(f *fake) error { return f.Set(t.Context(), newWord) }},
	} {
		f := newFake(t, c.role)
		f.away = 2
		if err := c.do(f); err != nil {
			t.Errorf("%s: %v", c.role, err)
		}
		if got := strings.Join(f.asked, ", "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.role, got, c.want)
		}
		if got, err := f.tokens.Rotated(); err != nil || got != newWord {
			t.Errorf("%s: got the token %q, %v, want %q", c.role, got, err, newWord)
		}
	}
}

// What cannot be done is refused before anything is changed.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		role string
		do   func(*fake) error
		want fault.Kind
	}{
		"a worker rotates": {k3s.Worker, func(f *fake) error { return f.Rotate(t.Context(), newWord) }, fault.Usage},
		"a short token":    {k3s.Server, func(f *fake) error { return f.Set(t.Context(), "short") }, fault.Input},
		"given in k3s' flags": {k3s.Server, func(f *fake) error {
			f.cfg.K3OS.K3sArgs = append(f.cfg.K3OS.K3sArgs, "--token=x")
			return f.Set(t.Context(), newWord)
		}, fault.Input},
	} {
		f := newFake(t, c.role)
		if err := c.do(f); fault.Code(err) != int(c.want) {
			t.Errorf("%s: got %v, want kind %v", name, err, c.want)
		}
		if got, err := f.tokens.Rotated(); err != nil || got != "" || f.asked != nil {
			t.Errorf("%s: got the token %q, %v, after %q", name, got, err, f.asked)
		}
	}
	cfg := &config.Config{}
	cfg.Shelf.Role = "storage"
	if n, err := New(cfg); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a storage node: got %v, %v, want a fault of kind Usage", n, err)
	}
	f := newFake(t, k3s.Server)
	f.fails = "restart"
	if err := f.Set(t.Context(), newWord); err == nil || f.asked[len(f.asked)-1] != "restart k3s" {
		t.Errorf("got %v after %q, want the error of the restart", err, f.asked)
	}
	f = newFake(t, k3s.Server)
	f.away = 1 << 30
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := f.Set(ctx, newWord); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("never ready: got %v, want a fault of kind Unhealthy", err)
	}
}

func TestState(t *testing.T) {
	f := newFake(t, k3s.Server)
	want := k3sstep.TokenState{Name: "host", Role: k3s.Server, Ready: true, Members: []string{"a", "b"}}
	if got, err := f.State(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if err := os.WriteFile(f.name, []byte("in-the-cluster\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.tokens.Set(newWord); err != nil {
		t.Fatal(err)
	}
	f.away, f.cfg.K3OS.K3sArgs = 1, append(f.cfg.K3OS.K3sArgs, "--token=x")
	got, err := f.State(t.Context())
	if err != nil || got.Name != "in-the-cluster" || !got.Rotated || got.Ready || got.Members != nil || got.Refused == "" {
		t.Errorf("got %+v, %v, want a node that is not ready, whose token was rotated and cannot be changed", got, err)
	}
}
