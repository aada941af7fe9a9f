package command

import (
	"context"
	"net/url"
	"path"
	"sync"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
	"imgbuild/init/net/proxy"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/upgrade/auto"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/keys"
	"imgbuild/init/upgrade/source"
	"imgbuild/init/upgrade/turns"
)

// Auto looks once whether this node upgrades itself, and does so if act is true. It is for root.
func Auto(ctx context.Context, o Options, act bool) (auto.Decision, error) {
	a := automatic{place: here, o: o, memory: auto.Path, now: time.Now}
	n, err := a.node()
	if err != nil {
		return auto.Decision{}, err
	}
	if !act {
		return n.Preview(ctx)
	}
	unlock, err := lock("/run/shelf/upgrade-auto.lock") // one look at a time: by PID 1, or by hand
	if err != nil {
		return auto.Decision{}, err
	}
	defer unlock()
	return n.Look(ctx)
}

// automatic is a node as its automatic upgrades see it.
type automatic struct {
	place
	o      Options
	memory string
	now    func() time.Time
}

// Locked reports whether a node takes turns with others.
func Locked(cfg *config.Config, role string) bool {
	return cfg.Upgrade.Lock != "none" && (role == k3s.Server || role == k3s.Worker)
}

// Keeps reports whether a node keeps whose turn it is: it is the first server of its cluster.
func Keeps(cfg *config.Config, role string) bool {
	return role == k3s.Server && k3s.ServerURL(cfg) == "" && (cfg.Upgrade.Lock == "cluster" || cfg.Upgrade.Lock == "" && cfg.Upgrade.Auto)
}

func (a automatic) facts() (f install.Facts, s status.Status, err error) {
	if err = control.Call(a.socket, control.Request{Verb: upgrades.Facts}, &f); err == nil {
		err = control.Call(a.socket, control.Request{Verb: "status"}, &s)
	}
	return f, s, err
}

func (a automatic) node() (auto.Node, error) {
	f, _, err := a.facts()
	if err != nil {
		return auto.Node{}, err
	}
	cfg := a.o.Config
	zone, err := time.LoadLocation(cfg.Time.Zone)
	if err != nil {
		zone = time.UTC // reported when the configuration was read
	}
	n := auto.Node{
		Family: f.Family, Arch: f.Arch,
		Facts: func(context.Context) (auto.Facts, error) {
			f, s, err := a.facts()
			return a.gather(f, s, a.now().In(zone)), err
		},
		Channel: a.channel, Step: func(ctx context.Context, to string) *k3sstep.Change {
			if to == f.K3s { // also a binary of the user's, whose name shows no version
				return nil
			}
			c := k3s.Change(ctx, cfg, f.Role, to)
			if c.From == "" {
				c.From = f.K3s
			}
			return &c
		},
		Upgrade: a.upgrade, Now: a.now,
		Load: func() (auto.Memory, error) { return auto.Load(a.memory) }, Save: func(m auto.Memory) error { return m.Save(a.memory) },
	}
	if Locked(cfg, f.Role) {
		if c, err := a.client(); err == nil {
			n.Send = c.Send
		}
	}
	return n, nil
}

// gather is what the decision needs to know of the node.
func (a automatic) gather(f install.Facts, s status.Status, now time.Time) auto.Facts {
	cfg := a.o.Config
	return auto.Facts{
		Now: now, Synced: f.Synced, Auto: cfg.Upgrade.Auto, Window: cfg.UpgradeWindow(), Name: f.Hostname, Locked: Locked(cfg, f.Role),
		Version: f.Version, Date: s.LockDate.Unix(), Role: f.Role, Booting: f.Booting, Degraded: f.Degraded || s.Rescue != "", Trial: f.Trial, Armed: f.Armed,
		Deadline: f.Deadline, Health: s.Health, Why: s.Why, Ledger: f.Ledger,
	}
}

// client asks the server that keeps whose turn it is.
func (a automatic) client() (*turns.Client, error) {
	pair, servers, err := k3s.Identity(a.o.Config)
	if err != nil {
		return nil, err
	}
	host := "127.0.0.1"
	if address := k3s.ServerURL(a.o.Config); address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" {
			return nil, fault.New(fault.Input, "correct k3os.server_url", "%q is not the address of a server", address)
		}
		host = u.Hostname()
	}
	return turns.NewClient(host, pair, servers), nil
}

func (a automatic) http() source.HTTPOptions {
	return source.HTTPOptions{Client: proxy.Client(func() map[string]string { return a.o.Config.K3OS.Environment }), Tries: 3}
}

// channel fetches the channel, and checks that a trusted key has signed it.
func (a automatic) channel(ctx context.Context) (*channel.Channel, error) {
	trusted, err := keys.Load(a.keys, a.o.Config.Upgrade.Keys)
	if err != nil {
		return nil, err
	}
	address := a.o.Config.Upgrade.Channel
	signature, err := source.ReadFile(ctx, address+channel.Suffix, channel.MaxSize, a.http())
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "", "the channel's signature")
	}
	text, err := source.ReadFile(ctx, address, channel.MaxSize, a.http())
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "", "the channel")
	}
	return channel.Open(trusted, text, signature)
}

// bundleAddress is where the bundle of a system is.
func bundleAddress(cfg *config.Config, s channel.System) (string, error) {
	base := cfg.Upgrade.Source
	u, err := url.Parse(base)
	if base == "" {
		if u, err = url.Parse(cfg.Upgrade.Channel); err == nil {
			u.Path, u.RawPath = path.Dir(u.Path), ""
		}
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "correct upgrade.source", "where bundles are")
	}
	return u.JoinPath(s.Bundle).String(), nil
}

// upgrade installs a system of the channel. renew is called until the node reboots.
func (a automatic) upgrade(ctx context.Context, s channel.System, renew func() error) error {
	address, err := bundleAddress(a.o.Config, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	defer wait.Wait()
	over := make(chan struct{})
	defer close(over)
	wait.Add(1)
	guard.Go(func() {
		defer wait.Done()
		t := time.NewTicker(10 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if err := renew(); err != nil {
					cancel(err)
					return
				}
			case <-over:
				return
			}
		}
	})
	o := a.o
	o.Arm, o.Reboot, o.Force, o.Keep, o.Expect = true, true, false, false, s.Manifest
	_, err = run(ctx, a.place, nil, o, func(so source.Options) (source.Source, string, error) {
		src, _, err := source.Open(ctx, address, so)
		return src, source.FromAuto, err
	})
	return err
}
