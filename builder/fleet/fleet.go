// Package fleet asks and orders all nodes of a shelf at once.
package fleet

import (
	"context"
	"sync"
	"time"

	"imgbuild/builder/cluster"
	"imgbuild/builder/remote"
)

// Target is a node to be asked. What is not known of it is empty.
type Target struct {
	Name   string // in cluster.yaml; else the host
	Host   string // [USER@]HOST[:PORT]
	Board  string
	Role   string
	Config []byte // its configuration from the file; nil if it is not known
}

// Of makes targets of nodes of a cluster.yaml.
func Of(nodes []*cluster.Node) (list []Target) {
	for _, n := range nodes {
		list = append(list, Target{n.Name, n.Host(), n.Board, n.Role, n.Config})
	}
	return list
}

// each calls f for all targets at once and returns when all have ended.
func each(targets []Target, f func(i int, t Target)) {
	var wait sync.WaitGroup
	for i, t := range targets {
		wait.Go(func() { f(i, t) })
	}
	wait.Wait()
}

// oneQuestion makes options whose questions come one after the other, though several logins run.
func oneQuestion(o remote.Options) remote.Options {
	var mu sync.Mutex
	if ask := o.Ask; ask != nil {
		o.Ask = func(question string) bool { mu.Lock(); defer mu.Unlock(); return ask(question) }
	}
	if secret := o.Secret; secret != nil {
		o.Secret = func(prompt string) []byte { mu.Lock(); defer mu.Unlock(); return secret(prompt) }
	}
	if say := o.Say; say != nil {
		o.Say = func(format string, a ...any) { mu.Lock(); defer mu.Unlock(); say(format, a...) }
	}
	return o
}

// run logs in on a target and runs a command there, each within the limit.
func run(ctx context.Context, t Target, login remote.Options, limit time.Duration, f func(ctx context.Context, n *remote.Node) error) error {
	login.Timeout = limit
	n, err := remote.Dial(ctx, t.Host, login)
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	return f(ctx, n)
}
