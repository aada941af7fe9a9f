package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/supervise"

	"golang.org/x/sys/unix"
)

// joinLimit is how long k3s may take to be ready with another token.
const joinLimit = 5 * time.Minute

// rotateLimit is how long k3s may take to change the token in its datastore.
const rotateLimit = 2 * time.Minute

// tokenVerb is the node's part of `imgbuild token rotate`. A new token comes on standard input.
func tokenVerb(args []string, asJSON bool) error {
	word := ""
	if len(args) > 0 {
		word = args[0]
	}
	if len(args) > 1 || !slices.Contains([]string{"", "rotate", "set"}, word) {
		return unknown("token", args[len(args)-1])
	}
	if err := rootOnly(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	cfg := job().Config
	role := cfg.RoleOf("")
	if role != k3s.Server && role != k3s.Worker {
		return fault.New(fault.Usage, "", "a %s runs no k3s and has no token", role)
	}
	if word == "" {
		t, err := tokenStatus(ctx, role)
		if err != nil || asJSON {
			return firstError(err, func() error { return printJSON(t) })
		}
		showf("%s, a %s, k3s is ready: %v, the token was rotated here: %v\n", t.Name, t.Role, t.Ready, t.Rotated)
		for _, m := range t.Members {
			show("node of the cluster:", m)
		}
		return nil
	}
	if err := k3s.Rotatable(cfg, "/"); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
	if err != nil {
		return fault.Wrap(err, fault.Input, "", "reading the token")
	}
	token := strings.TrimSpace(string(text))
	if err := k3s.CheckToken(token); err != nil {
		return err
	}
	if word == "rotate" {
		if role != k3s.Server {
			return fault.New(fault.Usage, "run it on a server", "the token of a cluster is changed on a server")
		}
		limited, cancel := context.WithTimeout(ctx, rotateLimit)
		defer cancel()
		err = k3s.NodeTokens.Rotate(limited, cfg, token, func(ctx context.Context, argv ...string) error {
			_, err := supervise.Run(ctx, supervise.Cmd(argv...))
			return err
		})
	} else {
		err = k3s.NodeTokens.Set(token)
	}
	if err != nil {
		return err
	}
	if err := control.Call(control.Socket, control.Request{Verb: "reload"}, nil); err != nil {
		return err
	}
	if err := control.Call(control.Socket, control.Request{Verb: "restart", Args: map[string]string{"name": k3s.Name}, Limit: 3 * time.Minute}, nil); err != nil {
		return err
	}
	return awaitK3s(ctx)
}

func firstError(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// tokenStatus is what the laptop looks at before it changes anything.
func tokenStatus(ctx context.Context, role string) (t k3sstep.TokenState, err error) {
	cfg := job().Config
	s, err := nodeStatus()
	if err != nil {
		return t, err
	}
	t = k3sstep.TokenState{Role: role, Name: s.Hostname, Ready: k3sReady(s)}
	if name, err := os.ReadFile(k3s.NamePath); err == nil && len(name) > 0 {
		t.Name = strings.TrimSpace(string(name))
	}
	rotated, err := k3s.NodeTokens.Rotated()
	if err != nil {
		return t, err
	}
	t.Rotated = rotated != ""
	if err := k3s.Rotatable(cfg, "/"); err != nil {
		t.Refused = err.Error()
	}
	if role == k3s.Server && t.Ready {
		members, err := k3s.Members(ctx, cfg)
		if err != nil {
			return t, fault.Wrap(err, fault.Unhealthy, "look at `shelf logs k3s`", "the nodes of the cluster")
		}
		for _, m := range members {
			t.Members = append(t.Members, m.Name)
		}
	}
	return t, nil
}

func nodeStatus() (s status.Status, err error) {
	err = control.Call(control.Socket, control.Request{Verb: "status"}, &s)
	return s, err
}

func k3sReady(s status.Status) bool {
	return slices.ContainsFunc(s.Services, func(u status.Service) bool { return u.Name == k3s.Name && u.Ready })
}

// awaitK3s waits until k3s is ready; an agent is when its server has taken the token.
func awaitK3s(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	for {
		s, err := nodeStatus()
		if err == nil && k3sReady(s) {
			show("k3s is ready with the new token")
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.New(fault.Unhealthy, "look at `shelf logs k3s`", "k3s was not ready with the new token within %v", joinLimit)
		case <-time.After(time.Second):
		}
	}
}
