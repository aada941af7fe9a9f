package service

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"
	"imgbuild/init/net/proxy"
	"imgbuild/init/router/agent"
	"imgbuild/init/router/blocklist"
	"imgbuild/init/supervise"
)

// proxies are the variables of k3os.environment that a download follows.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}

// listUnit reads the blocklists and ends. It begins again after a change of the configuration, when
// a list is not available yet, and by Keep.
func (r *Router) listUnit(s agent.Settings) supervise.Unit {
	data, _ := json.Marshal(s.Names)
	u := supervise.Unit{
		Name: Lists, Command: []string{"/usr/bin/shelf", "router", "blocklists"}, Env: []string{"SETTINGS=" + sum(data), "GOGC=50"},
		Needs: []string{Name}, Optional: true, Restart: supervise.Once, Delay: 5 * time.Second, MaxDelay: 30 * time.Minute,
		OOMScore: 500, Limits: cgroup.Limits{CPUWeight: 20},
	}
	for name, value := range r.Config().K3OS.Environment {
		if slices.Contains(proxies, strings.ToUpper(name)) {
			u.Env = append(u.Env, name+"="+value)
		}
	}
	slices.Sort(u.Env)
	return u
}

// lookEvery is how often Keep looks whether a list is due.
const lookEvery = 10 * time.Minute

// Keep has the blocklists read when they are due, until ctx ends. It returns at once; no Router has
// no lists.
func (r *Router) Keep(ctx context.Context, start func(unit string) error) {
	if r != nil {
		guard.Go(func() { r.keep(ctx, start) })
	}
}

func (r *Router) keep(ctx context.Context, start func(unit string) error) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		n := namesOf(r.Config().Router, r.Host)
		if len(n.Lists) == 0 {
			continue
		}
		if s, err := blocklist.Load(blocklist.Dir); err != nil || blocklist.Due(s, n.Lists, time.Now()) {
			_ = start(Lists) // fails while the configuration changes
		}
	}
}

// ReadLists is the command of that unit. dnsmasq reads the names again when they are others. It
// fails when there is a list that was not read yet.
func ReadLists(ctx context.Context, n agent.Names, say func(format string, a ...any)) error {
	env := func() map[string]string {
		m := map[string]string{}
		for _, line := range os.Environ() {
			name, value, _ := strings.Cut(line, "=")
			m[name] = value
		}
		return m
	}
	client := proxy.Client(env)
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		return followed(req.URL, len(via))
	}
	k := &blocklist.Keeper{Dir: blocklist.Dir, Sources: n.Lists, Ours: n.Ours, Client: client, Now: time.Now, Say: say}
	changed, err := k.Refresh(ctx)
	if err != nil {
		return fault.Wrap(err, fault.Device, "look at the space on the data partition", "the blocklists")
	}
	s, err := blocklist.Load(blocklist.Dir)
	if err != nil {
		return err
	}
	if changed {
		say("%d names are blocked%s", s.Names, s.Left.Words())
		if err := hup(); err != nil {
			say("dnsmasq reads them when it starts: %v", err)
		}
	}
	for _, l := range s.Lists {
		if l.Names == 0 {
			return fault.New(fault.Network, "", "%s: %s", l.From, l.Problem)
		}
	}
	return nil
}

// followed refuses a redirect to where others could change the list.
func followed(to *url.URL, steps int) error {
	if to.Scheme != "https" {
		return fmt.Errorf("the server leads to %s, which is not https", to.Host)
	}
	if steps > 5 {
		return fmt.Errorf("the server leads on and on")
	}
	return nil
}

// hup has dnsmasq read its files again.
func hup() error {
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%s has no process number", pidFile)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "dnsmasq" {
		return fmt.Errorf("process %d is not dnsmasq", pid)
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}
