package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// The verbs of the node.
const (
	Poweroff = "poweroff"
	Reboot   = "reboot"
)

// Halting is how nodes are stopped. A time that is 0 has its default.
type Halting struct {
	Verb  string // Poweroff or Reboot
	Login remote.Options
	Limit time.Duration // for the login and the order, each; 20 s
	Stop  time.Duration // that a node has to stop; 120 s
	Open  time.Duration // that clients have to close their files; 60 s
	Pause time.Duration // between two looks; 1 s
	Out   io.Writer     // gets what happens, made safe for a terminal
	// Answers reports whether the machine at host:port is on, though it may take no login; nil: by
	// TCP.
	Answers func(ctx context.Context, address string) bool
}

// halted is a node on its way down.
type halted struct {
	Target
	role string // its own, or the file's
	boot string // identifies its boot
	conn *remote.Node
	err  error // why it is not known to have stopped
}

// rank is when a role is stopped: those with pods, workers before servers, then those that serve
// files to them, at last those that lead to the others.
func rank(role string) int {
	if i := slices.Index([]string{"worker", "server", "storage", "router"}, role); i >= 0 {
		return i
	}
	return 2 // it has no pods, and leads nowhere
}

// waves are the places of roles in the order in which they are stopped; those of one wave together.
func waves(roles []string) (list [][]int) {
	byRank := map[int][]int{}
	for i, r := range roles {
		byRank[rank(r)] = append(byRank[rank(r)], i)
	}
	for r := range 4 {
		if len(byRank[r]) > 0 {
			list = append(list, byRank[r])
		}
	}
	return list
}

// Halt stops all targets in order. One that cannot be logged in to, or does not stop in time, is
// named and the rest goes on; the error is of kind Unhealthy then.
func Halt(ctx context.Context, targets []Target, h Halting) error {
	h.Limit, h.Stop = cmp.Or(h.Limit, remote.DefaultTimeout), cmp.Or(h.Stop, 120*time.Second)
	h.Open, h.Pause = cmp.Or(h.Open, 60*time.Second), cmp.Or(h.Pause, time.Second)
	if h.Answers == nil {
		h.Answers = answers
	}
	h.Login = oneQuestion(h.Login)
	h.Login.Timeout = h.Limit
	h.Out = &oneWriter{w: h.Out}
	// All logins come first: what they ask is asked while nothing has stopped yet.
	nodes := make([]*halted, len(targets))
	each(targets, func(i int, t Target) {
		n := &halted{Target: t, role: t.Role}
		n.err = h.login(ctx, n)
		nodes[i] = n
	})
	defer func() {
		for _, n := range nodes {
			if n.conn != nil {
				n.conn.Close()
			}
		}
	}()
	var roles []string
	for _, n := range nodes {
		roles = append(roles, n.role)
	}
	for _, wave := range waves(roles) {
		var wait sync.WaitGroup
		for _, i := range wave {
			if nodes[i].err == nil {
				wait.Go(func() { nodes[i].err = h.stop(ctx, nodes[i]) })
			}
		}
		wait.Wait()
		if err := ctx.Err(); err != nil {
			return fault.Wrap(err, fault.Interrupted, "run it again for the rest", "nodes that have the order already go on")
		}
	}
	return h.left(nodes)
}

// left is the error about nodes that are not known to have stopped.
func (h Halting) left(nodes []*halted) error {
	var why []string
	for _, n := range nodes {
		if n.err != nil {
			what, _ := fault.Parts(n.err)
			why = append(why, n.Name+": "+what)
		}
	}
	if why == nil {
		return nil
	}
	return fault.New(fault.Unhealthy, "look at these; the others have stopped", "%d of %d nodes are not known to have stopped:\n  %s", len(why), len(nodes), strings.Join(why, "\n  "))
}

const bootID = "cat /proc/sys/kernel/random/boot_id"

// login logs in and finds out what the node is.
func (h Halting) login(ctx context.Context, n *halted) (err error) {
	if n.conn, err = remote.Dial(ctx, n.Host, h.Login); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, h.Limit)
	defer stop()
	s, err := status(ctx, n.conn)
	if err == nil {
		n.role = s.Role
	} else if n.role == "" {
		return err
	}
	out, err := n.conn.Output(ctx, bootID, nil)
	n.boot = strings.TrimSpace(string(out))
	return err
}

// stop orders a node to end and waits until it has stopped.
func (h Halting) stop(ctx context.Context, n *halted) error {
	if n.role == "storage" {
		h.closed(ctx, n)
	}
	order, stop := context.WithTimeout(ctx, h.Limit)
	_, err := n.conn.Output(order, "sudo shelf "+h.Verb, nil)
	stop()
	if err != nil && fault.Code(err) != int(fault.Network) { // the connection may go before the status comes
		return err
	}
	fmt.Fprintf(h.Out, "%s: %s is on its way\n", n.Name, h.Verb)
	wait, stop := context.WithTimeout(ctx, h.Stop)
	defer stop()
	for {
		if !h.Answers(wait, n.conn.Address) && wait.Err() == nil || h.Verb == Reboot && h.another(wait, n) {
			fmt.Fprintf(h.Out, "%s: stopped\n", n.Name)
			return nil
		}
		select {
		case <-wait.Done():
			return fault.New(fault.Unhealthy, "look at its console", "it has not stopped within %v", h.Stop)
		case <-time.After(h.Pause):
		}
	}
}

// another reports whether the node runs after another boot.
func (h Halting) another(ctx context.Context, n *halted) bool {
	o := h.Login
	o.HostKey, o.Ask, o.Say = n.conn.HostKey, nil, nil
	c, err := remote.Dial(ctx, n.Host, o)
	if err != nil {
		return false
	}
	defer c.Close()
	out, err := c.Output(ctx, bootID, nil)
	return err == nil && n.boot != "" && strings.TrimSpace(string(out)) != n.boot
}

// openFiles prints a line for each file of a share that a client has open: what NFS knows, and what
// the servers of SMB and FTP have open.
const openFiles = `sudo sh -c 'cat /proc/fs/nfsd/clients/*/states 2>/dev/null | grep "type: open"; for p in $(pidof smbd vsftpd); do for f in /proc/$p/fd/*; do ` +
	`[ -f "$f" ] && case $(readlink "$f") in /srv/*) readlink "$f";; esac; done; done; true'`

// closed waits until no client of a storage node has a file open, or long enough.
func (h Halting) closed(ctx context.Context, n *halted) {
	ctx, stop := context.WithTimeout(ctx, h.Open)
	defer stop()
	reported := false
	for {
		out, err := n.conn.Output(ctx, openFiles, nil)
		count := strings.Count(string(out), "\n")
		if err == nil && count == 0 {
			return
		}
		if err == nil && !reported {
			fmt.Fprintf(h.Out, "%s: clients have %d files open; waiting for them, %v at most\n", n.Name, count, h.Open)
			reported = true
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(h.Out, "%s: not waited for any longer\n", n.Name)
			return
		case <-time.After(h.Pause):
		}
	}
}

// answers asks by TCP. A machine that refuses is still on: its ssh server ends before it does.
func answers(ctx context.Context, address string) bool {
	c, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", address)
	if err == nil {
		c.Close()
	}
	return err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}

// oneWriter lets one goroutine at a time write.
type oneWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *oneWriter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return io.WriteString(o.w, terminal.Text(string(p)))
}
