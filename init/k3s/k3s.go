// Package k3s runs k3s on a node: what it reads, what must be in place before it starts, how to see
// that it works, and how it and its pods end.
//
// k3s reads three things of ours: a drop-in after the user's config.yaml, a token file, and
// environment variables as defaults. k3s_args stay arguments. The binary is the slot's own
// (/usr/bin/k3s) or one that the node has fetched and checked against the slot's manifest. iptables
// is the image's, not the one bundled with k3s: the two would have to be of one kind, and the
// router and the checks use the image's.
package k3s

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/net/network"
	"imgbuild/init/net/proxy"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// Name is the unit's name.
const Name = "k3s"

// Embedded is where the squashfs has k3s.
const Embedded = "/usr/bin/k3s"

// ToolDir gets the links kubectl, crictl, ctr and k3s.
const ToolDir = "/usr/local/bin"

// Node is what the unit must know of its node. Config, Manifest, Role, Load and Groups are
// required.
type Node struct {
	Config   func() *config.Config // the newest merged configuration; called at each start
	Manifest *manifest.K3s         // of the running slot; nil when it has no k3s
	Role     string                // Server or Worker
	Hostname string
	Load     func(module string, params ...string) error // loads a kernel module and what it needs
	Groups   *cgroup.Tree
	Time     func(ctx context.Context, limit time.Duration) error // waits for the right time (clock.Keeper.Wait); nil: nobody to ask
	Data     func(ctx context.Context, say supervise.Say) error   // sees to the disk that k3s' data are on; nil: the node's own
	Say      func(format string, args ...any)                     // lines for the log that are not a failure; nil: nowhere
}

// Unit makes the unit, and what keeps it once it runs. Its needs are the caller's to add.
func Unit(n Node) (supervise.Unit, *Upkeep, error) {
	switch {
	case n.Role != Server && n.Role != Worker:
		return supervise.Unit{}, nil, fault.New(fault.Internal, "", "role %q runs no k3s", n.Role)
	case n.Manifest == nil || n.Manifest.Source == "none":
		return supervise.Unit{}, nil, fault.New(fault.Input, "build the image with k3s, or choose another role",
			"this image has no k3s, which the role %s needs", n.Role)
	}
	if n.Say == nil {
		n.Say = func(string, ...any) {}
	}
	p := &preparation{Node: n, tokens: NodeTokens}
	return supervise.Unit{
		Name:   Name,
		NoFile: 1048576,
		NProc:  supervise.Unlimited,
		// k3s gives itself this score; containerd and the shims keep what they are started with.
		OOMScore:    -999,
		Moves:       []string{"k3s"}, // k3s' own group, see package cgroup
		Restart:     supervise.Always,
		Delay:       5 * time.Second, // RestartSec=5s of k3s' own unit, without a limit
		MaxDelay:    5 * time.Second,
		StopTimeout: 30 * time.Second,
		KeepOthers:  true, // KillMode=process of k3s' own unit: pods outlive k3s
		Prepare:     p.prepare,
		Arguments:   p.arguments,
		Ready: supervise.Ready{Kind: supervise.Notify, Probe: func(ctx context.Context) error {
			// Next to k3s' own start, which takes long enough.
			if !p.filters {
				if err := checkNAT(ctx); err != nil {
					return err
				}
				p.filters = true
			}
			return Probe(ctx, n.Config(), n.Role)
		}},
		Finish: func(ctx context.Context) error { return StopPods(ctx, n.Groups) },
	}, &Upkeep{p: p}, nil
}

// preparation is what happens before each start.
type preparation struct {
	Node
	tokens   Tokens
	mu       sync.Mutex
	binary   string // found and checked in this boot
	checked  bool   // the host was found fit in this boot
	filters  bool   // the packet filter took a NAT rule in this boot; only the watcher of readiness looks at it
	waited   bool   // the time was waited for in this boot
	starting *config.Config
	name     string  // of the node in the cluster
	extra    []Extra // lists of ours after the user's
	began    time.Time
	untimed  bool // that start came before the time was known
	doubted  bool // it was reported that it is unknown whether this k3s fits the data
	renamed  bool // that the node has another name in the cluster
}

// prepare takes the node from whatever state to one in which k3s can be started. An error is tried
// again.
func (p *preparation) prepare(ctx context.Context, say supervise.Say) error {
	cfg := p.Config()
	if what := missing(cfg, p.Role); what != "" {
		return &supervise.Waiting{What: what}
	}
	if gone := p.Groups.Missing(); len(gone) > 0 {
		return fault.New(fault.Unhealthy, "boot a kernel that has them, on Raspberry Pi kernels with cgroup_enable=memory",
			"the kernel gives no cgroup controllers %s", strings.Join(gone, ", "))
	}
	// Before anything looks at k3s' data: without its disk there would be none.
	if p.Data != nil {
		if err := p.Data(ctx, say); err != nil {
			return err
		}
	}
	// Steps that need neither network nor time come before both are waited for.
	if !p.checked {
		say.Progress("checking the node")
		if err := p.check(cfg); err != nil {
			return err
		}
		p.checked = true
	}
	// k3s makes certificates at its first start; made before the right time they would not be valid
	// yet elsewhere.
	untimed, err := p.awaitTime(ctx, cfg, say)
	if err != nil {
		return err
	}
	if time.Now().Year() < 1980 {
		return fault.New(fault.Unhealthy, "give the node a time server", "the clock is before 1980, k3s does not start then")
	}
	binary, err := p.find(ctx, say)
	if err != nil {
		return err
	}
	if cfg, err = p.judge(ctx, cfg, binary); err != nil {
		return err
	}
	if err := linkTools(ToolDir, binary); err != nil {
		p.Say("k3s: links in %s: %v", ToolDir, err)
	}
	name, err := p.naming(cfg)
	if err != nil {
		return err
	}
	extra := kubeArguments(cfg, "/")
	if p.Role == Server {
		if err := WriteAddons(cfg, p.Role); err != nil {
			p.Say("k3s: %v", err) // one add-on is no reason to keep the others from starting
		}
		extra = append(extra, Extra{"disable", disabled(cfg, manifestDir(cfg))})
	}
	write := func(c *config.Config) error {
		files, err := Files(c, extra...)
		if err != nil {
			return err
		}
		return writeFiles("/", files)
	}
	if p.Role == Server {
		if err := resetCluster(ctx, ResetPath, binary, name, cfg, write, say.Progress); err != nil {
			return err
		}
	}
	if err := write(cfg); err != nil {
		return err
	}
	if err := noteLabels(LabelsPath, cfg); err != nil {
		p.Say("k3s: %v", err)
	}
	if err := provideImages(ImageDir, filepath.Join(dataDir(cfg), "agent", "images")); err != nil {
		p.Say("k3s: images: %v", err)
	}
	if err := p.route(ctx); err != nil {
		p.Say("k3s: %v", err)
	}
	if err := pruneData(dataDir(cfg)); err != nil {
		p.Say("k3s: removing old versions: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.binary, p.starting, p.name, p.extra = binary, cfg, name, extra
	p.began, p.untimed = time.Now(), untimed
	return nil
}

// awaitTime waits for the right time, once in a boot, and reports whether k3s starts without it.
// The error is that of ctx.
func (p *preparation) awaitTime(ctx context.Context, cfg *config.Config, say supervise.Say) (untimed bool, err error) {
	if p.Time == nil {
		return false, nil
	}
	first, limit := !p.waited, time.Duration(0)
	if first {
		say.Progress("for the right time")
		limit = cfg.Time.Wait
	}
	err = p.Time(ctx, limit)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil && first {
		p.Say("k3s starts although: %v", err)
	}
	p.waited = true
	return err != nil, nil
}

// naming returns the node's name in the cluster, and reports once when that is not the hostname.
func (p *preparation) naming(cfg *config.Config) (string, error) {
	name, changed, err := nodeName(NamePath, cfg, p.Hostname)
	if err != nil {
		return "", fault.Wrap(err, fault.Device, "", "the node's name in the cluster")
	}
	if changed && !p.renamed {
		p.renamed = true
		p.Say("k3s: the cluster knows this node as %s, and goes on to, though its hostname is %s now; to rename it there run `kubectl delete node %s`, remove %s and restart k3s",
			name, p.Hostname, name, NamePath)
	}
	return name, nil
}

// find returns the path of the slot's k3s.
func (p *preparation) find(ctx context.Context, say supervise.Say) (string, error) {
	if p.binary != "" {
		return p.binary, nil
	}
	if p.Manifest.Source == "embedded" {
		return Embedded, nil // verity vouches for it
	}
	s := store{dir: StoreDir, client: proxy.Client(func() map[string]string { return p.Config().K3OS.Environment }), retry: firstRetry, wrong: firstWrong, stall: stalled}
	defer s.client.CloseIdleConnections()
	return s.locate(ctx, p.Manifest, say)
}

// check loads modules, sets sysctls and looks at the host, once in a boot unless it fails.
func (p *preparation) check(cfg *config.Config) error {
	if err := loadModules(p.Load, Modules...); err != nil {
		p.Say("k3s: %v", err) // some may be built in under another name; the NAT rule decides, before k3s counts as ready
	}
	if failed := setSysctls("/proc/sys", cfg); len(failed) > 0 {
		p.Say("k3s: the kernel does not take the settings %s", strings.Join(failed, ", "))
	}
	return checkHost("/")
}

// route sees to a default route.
func (p *preparation) route(ctx context.Context) error {
	has, err := network.HasDefaultRoute()
	if err != nil || has {
		return err
	}
	_ = loadModules(p.Load, "dummy")
	made, err := network.EnsureDefaultRoute()
	if made {
		p.Say("k3s: the network has no default route; made one that leads nowhere, because k3s does not start without")
	}
	return err
}

// arguments returns command and environment for the start that was prepared.
func (p *preparation) arguments() (command, env []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starting == nil {
		return nil, nil, errors.New("k3s was not prepared")
	}
	return Command(p.binary, p.Role, p.starting, p.extra...), Environment(p.starting, p.name), nil
}

// Probes are k3s' part in the health of a role.
func Probes(cfg func() *config.Config, role string) []health.Probe {
	list := []health.Probe{{Check: checks.Kubelet, Ask: func(ctx context.Context) error { return probeKubelet(ctx, cfg(), kubeletHealth) }}}
	if role == Server {
		list = append(list, health.Probe{Check: checks.API, Ask: func(ctx context.Context) error { return probeAPI(ctx, cfg()) }})
	}
	return list
}
