package k3s

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// Tokens is where a node keeps a token that was rotated. Part is a file of the configuration that
// counts more than all others, so that an old config.yaml does not bring the old token back; Note
// is there while the token is changed, so that a power cut in between leaves a node that starts.
type Tokens struct{ Part, Note string }

// NodeTokens are those of the running node.
var NodeTokens = Tokens{"/var/lib/rancher/k3os/config.d/99-shelf-token.yaml", "/var/lib/shelf/token-new"}

var tokenForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9._-]{16,128}$`) })

// CheckToken reports why a word cannot be the new token: k3s keeps it in a file of comma separated
// values, and it travels on command lines.
func CheckToken(token string) error {
	if !tokenForm().MatchString(token) {
		return fault.New(fault.Input, "take 16 to 128 letters, digits, dots, hyphens and underscores", "the new token cannot be used")
	}
	return nil
}

// Rotated is the token that was rotated on this node; empty if none was.
func (t Tokens) Rotated() (string, error) {
	data, err := os.ReadFile(t.Part)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var part struct {
		K3OS struct {
			Token string `yaml:"token"`
		} `yaml:"k3os"`
	}
	if err != nil {
		return "", fmt.Errorf("the rotated token in %s: %w", t.Part, err)
	}
	if yaml.Unmarshal(data, &part) != nil { // whose error would quote a piece of it
		return "", fmt.Errorf("the rotated token in %s: this is not the file that `shelf token` wrote", t.Part)
	}
	return part.K3OS.Token, nil
}

// Set makes a token the one of this node from the next start of k3s on.
func (t Tokens) Set(token string) error {
	if err := CheckToken(token); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.Part), 0o755); err != nil {
		return err
	}
	text := "# Written by shelf token, for `" + k3sstep.RotateCommand + "`. It counts more than config.yaml.\nk3os:\n  token: " + token + "\n"
	if err := atomicfile.WriteAs(t.Part, []byte(text), 0o600, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	return forget(t.Note)
}

func forget(path string) error {
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// tokenElsewhere reports where k3s has its token from if that is not k3os.token; empty if it is.
func tokenElsewhere(cfg *config.Config, root string) string {
	for _, name := range []string{"token", "token-file"} {
		if flag(cfg, name, map[string]string{"token": "t"}[name], "") != "" {
			return "k3os.k3s_args (--" + name + ")"
		}
		if len(fileValues(cfg, root, name)) > 0 {
			return "k3s' own configuration files"
		}
	}
	for _, name := range []string{"K3S_TOKEN", "K3S_TOKEN_FILE"} {
		if cfg.K3OS.Environment[name] != "" {
			return "k3os.environment." + name
		}
	}
	return ""
}

// Rotatable reports why the token cannot be changed in the way in which a node keeps it.
func Rotatable(cfg *config.Config, root string) error {
	if where := tokenElsewhere(cfg, root); where != "" {
		return fault.New(fault.Input, "move it to k3os.token, and run the command again", "the token of this node is given in %s, where it cannot be changed from here", where)
	}
	return nil
}

// Rotate changes the token of the cluster on a server whose k3s runs, and sets it on this node. It
// may be called again with the same token after it failed, or a power cut. run runs a command to
// its end.
func (t Tokens) Rotate(ctx context.Context, cfg *config.Config, token string, run func(ctx context.Context, argv ...string) error) error {
	if err := CheckToken(token); err != nil {
		return err
	}
	held, err := os.ReadFile(filepath.Join(dataDir(cfg), "server", "token"))
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "wait until k3s has started", "this server has no token yet")
	}
	if same(string(held), token) {
		return t.Set(token)
	}
	if err := atomicfile.WriteAs(t.Note, []byte(token+"\n"), 0o600, os.Getuid(), os.Getgid()); err != nil {
		return err
	}
	if err := run(ctx, rotateCommand(cfg, strings.TrimSpace(string(held)), token)...); err != nil {
		return fault.Wrap(err, fault.Unhealthy, "look at `shelf logs k3s`, and run the command again", "k3s did not change the token")
	}
	return t.Set(token)
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(k3sstep.Secret(a)), []byte(k3sstep.Secret(b))) == 1
}

// rotateCommand has the running server change the token (docs.k3s.io/cli/token). k3s reads the
// present one in its default data directory only.
func rotateCommand(cfg *config.Config, held, token string) []string {
	line := []string{"k3s", "token", "rotate", "--new-token=" + token}
	if dataDir(cfg) != "/var/lib/rancher/k3s" {
		line = append(line, "--data-dir="+dataDir(cfg), "--token="+held)
	}
	if port := flag(cfg, "https-listen-port", "", "6443"); port != "6443" {
		line = append(line, "--server=https://127.0.0.1:"+port)
	}
	return line
}

// settle finishes a change of the token that a power cut took, and returns the configuration with
// the token that counts. It needs no reload of the configuration before.
func (t Tokens) settle(cfg *config.Config) (*config.Config, error) {
	if note, err := os.ReadFile(t.Note); err == nil {
		held, _ := os.ReadFile(filepath.Join(dataDir(cfg), "server", "token"))
		if word := strings.TrimSpace(string(note)); CheckToken(word) == nil && same(string(held), word) {
			if err := t.Set(word); err != nil {
				return nil, err
			}
		} else if err := forget(t.Note); err != nil {
			return nil, err
		}
	}
	token, err := t.Rotated()
	if err != nil || token == "" || token == cfg.K3OS.Token {
		return cfg, err
	}
	c := *cfg
	c.K3OS.Token = token
	return &c, nil
}

// Held is the token that the data of this server were made with; empty if there are none. A token
// that was set counts before k3s has seen it.
func (t Tokens) Held(cfg *config.Config) string {
	if !HasServerData(cfg) {
		return ""
	}
	if token, err := t.Rotated(); err == nil && token != "" {
		return token
	}
	data, err := os.ReadFile(filepath.Join(dataDir(cfg), "server", "token"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
