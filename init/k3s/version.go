package k3s

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/supervise"
)

// Ran is the version of k3s that had the data last; empty if nobody noted it.
func Ran(cfg *config.Config) string {
	data, err := os.ReadFile(filepath.Join(dataDir(cfg), k3sstep.NoteName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// noteRan notes the version before k3s starts with the data: it may change them from its first
// moment.
func noteRan(cfg *config.Config, version string) error {
	if version == "" || Ran(cfg) == version {
		return nil
	}
	dir := dataDir(cfg)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return atomicfile.WriteAs(filepath.Join(dir, k3sstep.NoteName), []byte(version+"\n"), 0o600, os.Getuid(), os.Getgid())
}

// HasServerData reports whether a server has run here: its datastore, here or elsewhere, is the
// cluster's.
func HasServerData(cfg *config.Config) bool {
	for _, name := range []string{"server/db", "server/tls"} {
		if _, err := os.Lstat(filepath.Join(dataDir(cfg), name)); err == nil {
			return true
		}
	}
	return false
}

// Change is what another k3s would mean for this node, for k3sstep's judgement. An agent asks its
// server, for a few seconds; one that does not answer is not known.
func Change(ctx context.Context, cfg *config.Config, role, to string) k3sstep.Change {
	c := k3sstep.Change{From: Ran(cfg), To: to, Data: role == Server && HasServerData(cfg), Agent: role == Worker}
	if c.Agent && c.From != to {
		if v, err := serverVersion(ctx, cfg); err == nil {
			c.Servers = []string{v}
		}
	}
	return c
}

// ServerURL is the server that this node joins; empty for the first server of a cluster.
func ServerURL(cfg *config.Config) string {
	return flag(cfg, "server", "s", valueOr(cfg.K3OS.ServerURL, cfg.K3OS.Environment["K3S_URL"]))
}

// serverVersion is the version of the server that an agent belongs to, asked with the certificate
// of its kubelet. The kubeconfig leads to k3s' own balancer, which is not there while k3s is down.
func serverVersion(ctx context.Context, cfg *config.Config) (string, error) {
	api, err := kubeletOf(dataDir(cfg))
	if err != nil {
		return "", err
	}
	if url := ServerURL(cfg); url != "" {
		api.base = strings.TrimSuffix(url, "/")
	}
	var answer struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := api.do(ctx, http.MethodGet, "/version", "", nil, &answer); err != nil {
		return "", err
	}
	if answer.GitVersion == "" {
		return "", errors.New("the API server does not report its version")
	}
	return answer.GitVersion, nil
}

// askLimit is how long a k3s may take to print its version.
const askLimit = time.Minute

var printed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?m)^k3s version (v1\.\S+)`) })

// AskedPath keeps what a binary of the user's printed as its version, so that it is run for that
// once and not at every boot: its SHA-256 and the version, on one line.
const AskedPath = "/var/lib/shelf/k3s-asked"

// versionOf is the version of the slot's k3s: what the manifest has or, where that is the name of a
// file of the user's, what the binary prints.
func (p *preparation) versionOf(ctx context.Context, binary, asked string) string {
	name, sum := p.Manifest.Version, p.Manifest.SHA256
	if _, ok := k3sstep.Parse(name); ok {
		return name
	}
	data, err := os.ReadFile(asked)
	if of, version, ok := strings.Cut(strings.TrimSpace(string(data)), " "); err == nil && ok && sum != "" && of == sum {
		if _, ok := k3sstep.Parse(version); ok {
			return version
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	res, err := supervise.Run(ctx, supervise.Cmd(binary, "--version"))
	m := printed().FindSubmatch(res.Output)
	if err != nil || m == nil {
		return name
	}
	version := string(m[1])
	if sum != "" {
		if err := atomicfile.WriteAs(asked, []byte(sum+" "+version+"\n"), 0o644, os.Getuid(), os.Getgid()); err != nil {
			p.Say("k3s: %v", err) // it is asked again
		}
	}
	return version
}

// judge reports why the slot's k3s must not start with the data that are there, and notes that it
// is about to. It returns the configuration with the token that counts.
func (p *preparation) judge(ctx context.Context, cfg *config.Config, binary string) (*config.Config, error) {
	version := p.versionOf(ctx, binary, AskedPath)
	unknown, err := Change(ctx, cfg, p.Role, version).Judge()
	if err != nil {
		return nil, err
	}
	if unknown != "" && !p.doubted {
		p.doubted = true
		p.Say("k3s: %s", unknown)
	}
	if cfg, err = p.tokens.settle(cfg); err != nil {
		return nil, err
	}
	if p.Role == Server {
		if err := k3sstep.Token(cfg.K3OS.Token, p.tokens.Held(cfg)); err != nil {
			return nil, err
		}
	}
	return cfg, noteRan(cfg, version)
}
