package k3s

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

func chmod(path string) error { return os.Chmod(path, 0o755) }

const oldWord, newWord = "the-old-and-long-word", "the-new-and-long-word"

// errCutOff is what a power cut looks like to the caller.
var errCutOff = errors.New("the power failed")

// Whenever the power fails while the token is changed, k3s starts afterwards with the token that
// its data have.
func TestRotateThroughPowerCuts(t *testing.T) {
	for _, c := range []struct {
		name        string
		before, set bool // k3s had not yet changed it; what was begun came to its end
	}{{"before k3s changed it", true, false}, {"after k3s changed it", false, false}, {"not at all", false, true}} {
		dir := t.TempDir()
		p, cfg := starting(dir, Server, "v1.35.0+k3s1")
		cfg.K3OS.Token = oldWord
		file := filepath.Join(dir, "server/token")
		put(t, file, "K10aa::server:"+oldWord+"\n")
		put(t, filepath.Join(dir, "server/tls/x"), "x")
		err := p.tokens.Rotate(t.Context(), cfg, newWord, func(_ context.Context, argv ...string) error {
			if c.before {
				return errCutOff
			}
			if want := []string{"k3s", "token", "rotate", "--new-token=" + newWord, "--data-dir=" + dir, "--token=K10aa::server:" + oldWord}; !slices.Equal(argv, want) {
				t.Errorf("got %q, want %q", argv, want)
			}
			put(t, file, "K10aa::server:"+newWord+"\n")
			if !c.set {
				return errCutOff
			}
			return nil
		})
		if (err == nil) != c.set {
			t.Errorf("%s: %v", c.name, err)
		}
		want := newWord
		if c.before {
			want = oldWord
		}
		got, err := p.judge(t.Context(), cfg, "/nowhere")
		if err != nil || got.K3OS.Token != want {
			t.Errorf("%s: k3s starts with %v, %v; want %q", c.name, got, err, want)
		}
		if _, err := os.Stat(p.tokens.Note); !os.IsNotExist(err) {
			t.Errorf("%s: the note is left: %v", c.name, err)
		}
		if held := p.tokens.Held(cfg); !same(held, want) {
			t.Errorf("%s: held %q", c.name, held)
		}
		// Run again with the same token it comes to its end.
		err = p.tokens.Rotate(t.Context(), cfg, newWord, func(context.Context, ...string) error {
			put(t, file, "K10aa::server:"+newWord+"\n")
			return nil
		})
		if got, err2 := p.judge(t.Context(), cfg, "/nowhere"); err != nil || err2 != nil || got.K3OS.Token != newWord {
			t.Errorf("%s: again: %v, %v, %v", c.name, err, err2, got)
		}
	}
}

// A server with data does not start with another token, an agent and an empty server do.
func TestTokenAtStart(t *testing.T) {
	for _, c := range []struct {
		role string
		data bool
		code int
	}{{Server, true, int(fault.Input)}, {Server, false, 0}, {Worker, true, 0}} {
		dir := t.TempDir()
		p, cfg := starting(dir, c.role, "v1.35.0+k3s1")
		cfg.K3OS.Token = newWord
		if c.data {
			put(t, filepath.Join(dir, "server/token"), "K10aa::server:"+oldWord+"\n")
			put(t, filepath.Join(dir, "server/db/state.db"), "x")
		}
		if _, err := p.judge(t.Context(), cfg, "/nowhere"); fault.Code(err) != c.code {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	// On another server of the cluster the token is set before its k3s has seen it.
	dir := t.TempDir()
	p, cfg := starting(dir, Server, "v1.35.0+k3s1")
	cfg.K3OS.Token = oldWord
	put(t, filepath.Join(dir, "server/token"), "K10aa::server:"+oldWord+"\n")
	put(t, filepath.Join(dir, "server/tls/x"), "x")
	if err := p.tokens.Set(newWord); err != nil {
		t.Fatal(err)
	}
	if got, err := p.judge(t.Context(), cfg, "/nowhere"); err != nil || got.K3OS.Token != newWord || cfg.K3OS.Token != oldWord {
		t.Errorf("got %v, %v", got, err)
	}
	put(t, p.tokens.Part, "k3os: [")
	if _, err := p.judge(t.Context(), cfg, "/nowhere"); err == nil {
		t.Error("a damaged file with the token is not an error")
	}
}

func TestRotatable(t *testing.T) {
	root := t.TempDir()
	if err := Rotatable(&config.Config{K3OS: config.K3OS{Token: oldWord}}, root); err != nil {
		t.Error(err)
	}
	for _, c := range []config.K3OS{{K3sArgs: []string{"--token", "x"}}, {K3sArgs: []string{"-t=x"}}, {K3sArgs: []string{"--token-file=/x"}}, {Environment: map[string]string{"K3S_TOKEN": "x"}}} {
		if err := Rotatable(&config.Config{K3OS: c}, root); fault.Code(err) != int(fault.Input) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	put(t, filepath.Join(root, "etc/rancher/k3s/config.yaml"), "token: x\n")
	if err := Rotatable(&config.Config{}, root); fault.Code(err) != int(fault.Input) {
		t.Errorf("k3s' own file: got %v", err)
	}
	for word, good := range map[string]bool{newWord: true, "short": false, "with space and more": false, "with,comma,and,more": false, "K10aa::server:long-enough-word": false, strings.Repeat("a", 129): false, "": false} {
		if err := CheckToken(word); (err == nil) != good {
			t.Errorf("%q: got %v, want good %v", word, err, good)
		}
	}
}
