// Package rotation is the node's part of `imgbuild token rotate`: what the laptop looks at before
// it changes anything, and the change of the token on one node.
package rotation

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/supervise"
)

const (
	joinLimit   = 5 * time.Minute // in which k3s has to be ready with another token
	rotateLimit = 2 * time.Minute // in which k3s has to change the token in its datastore
	stopLimit   = 3 * time.Minute // for a restart of k3s
)

// Node is the node whose token is changed.
type Node struct {
	cfg    *config.Config
	role   string
	root   string
	tokens k3s.Tokens
	name   string                                                      // file with the node's name in the cluster
	call   func(control.Request, any) error                            // asks PID 1
	run    func(ctx context.Context, argv ...string) error             // runs a command to its end
	list   func(context.Context, *config.Config) ([]k3s.Member, error) // the nodes of the cluster
	pause  time.Duration                                               // between two looks at k3s
}

// New is this node with its configuration. One that runs no k3s is an error of kind Usage.
func New(cfg *config.Config) (*Node, error) {
	role := cfg.RoleOf("")
	if role != k3s.Server && role != k3s.Worker {
		return nil, fault.New(fault.Usage, "", "a %s runs no k3s and has no token", role)
	}
	call := func(r control.Request, data any) error { return control.Call(control.Socket, r, data) }
	return &Node{cfg: cfg, role: role, root: "/", tokens: k3s.NodeTokens, name: k3s.NamePath, call: call, run: supervise.RunCommand, list: k3s.Members, pause: time.Second}, nil
}

// State is what the laptop looks at before it changes anything.
func (n *Node) State(ctx context.Context) (t k3sstep.TokenState, err error) {
	var s status.Status
	if err := n.call(control.Request{Verb: "status"}, &s); err != nil {
		return t, err
	}
	t = k3sstep.TokenState{Role: n.role, Name: s.Hostname, Ready: ready(s)}
	if name, err := os.ReadFile(n.name); err == nil && len(name) > 0 {
		t.Name = strings.TrimSpace(string(name))
	}
	rotated, err := n.tokens.Rotated()
	if err != nil {
		return t, err
	}
	t.Rotated = rotated != ""
	if err := k3s.Rotatable(n.cfg, n.root); err != nil {
		t.Refused = err.Error()
	}
	if n.role == k3s.Server && t.Ready {
		members, err := n.list(ctx, n.cfg)
		if err != nil {
			return t, fault.Wrap(err, fault.Unhealthy, "look at `shelf logs k3s`", "the nodes of the cluster")
		}
		for _, m := range members {
			t.Members = append(t.Members, m.Name)
		}
	}
	return t, nil
}

// Rotate changes the token of the cluster, on a server; Set makes a token the one of this node,
// after it was changed elsewhere. Both restart k3s, and wait until it is ready: an agent is when
// its server has taken the token.
func (n *Node) Rotate(ctx context.Context, token string) error {
	return n.change(ctx, token, func() error {
		if n.role != k3s.Server {
			return fault.New(fault.Usage, "run it on a server", "the token of a cluster is changed on a server")
		}
		ctx, cancel := context.WithTimeout(ctx, rotateLimit)
		defer cancel()
		return n.tokens.Rotate(ctx, n.cfg, token, n.run)
	})
}

// Set: see Rotate.
func (n *Node) Set(ctx context.Context, token string) error {
	return n.change(ctx, token, func() error { return n.tokens.Set(token) })
}

func (n *Node) change(ctx context.Context, token string, do func() error) error {
	if err := k3s.Rotatable(n.cfg, n.root); err != nil {
		return err
	}
	if err := k3s.CheckToken(token); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if err := n.call(control.Request{Verb: "reload"}, nil); err != nil {
		return err
	}
	if err := n.call(control.Request{Verb: "restart", Args: map[string]string{"name": k3s.Name}, Limit: stopLimit}, nil); err != nil {
		return err
	}
	return n.await(ctx)
}

func (n *Node) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	for {
		var s status.Status
		if err := n.call(control.Request{Verb: "status"}, &s); err == nil && ready(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unhealthy, "look at `shelf logs k3s`", "k3s was not ready with the new token within %v", joinLimit)
		case <-time.After(n.pause):
		}
	}
}

func ready(s status.Status) bool {
	return slices.ContainsFunc(s.Services, func(u status.Service) bool { return u.Name == k3s.Name && u.Ready })
}
