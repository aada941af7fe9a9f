// Package remote is the laptop's ssh client: one connection to a node, whose host key is checked
// and whose commands are run with their output and exit status. It reads keys from the agent and
// ~/.ssh, and known hosts from ~/.ssh/known_hosts, as ssh does; ~/.ssh/config is not read.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/lookup"
	"imgbuild/init/contract/fault"
)

// DefaultUser is the user that logs in on a node.
const DefaultUser = "rancher"

// Options are the user that logs in and the host keys that are trusted. The zero value is what `ssh
// rancher@HOST` does without a terminal.
type Options struct {
	User       string                        // DefaultUser if empty; user@ before the host's name wins
	Identity   string                        // file of the only private key to try; empty: the agent's, then those of ~/.ssh
	Key        string                        // about an unknown host: "" or "ask", "accept-new", or its fingerprint SHA256:...
	HostKey    ssh.PublicKey                 // the only key that the node may have, whatever is known about its name; nil: see Key
	KnownHosts string                        // file; ~/.ssh/known_hosts if empty
	Ask        func(question string) bool    // nil: nobody is there to ask, and the answer is no
	Secret     func(prompt string) []byte    // passphrase of a private key; nil or an empty answer: the key is passed over
	Timeout    time.Duration                 // for the connection and the login; DefaultTimeout if 0
	Say        func(format string, a ...any) // what the user should know, such as a host key that was noted; nil: nothing
	Find       Find                          // addresses of a name; lookup.Find if nil
	Connect    Connect                       // a connection to host:port; TCP if nil
}

// Find finds the addresses of a host by its name.
type Find func(ctx context.Context, host string) (lookup.Found, error)

// Connect opens a connection to host:port.
type Connect func(ctx context.Context, address string) (net.Conn, error)

// DefaultTimeout is how long a node has to answer.
const DefaultTimeout = 20 * time.Second

// Node is a connection to a node. It is safe for several commands at a time.
type Node struct {
	Host    string        // as it was given, without the user
	Address string        // host:port
	User    string        // the user that is logged in
	HostKey ssh.PublicKey // what the node showed
	client  *ssh.Client
}

// Dial logs in on host: name or address, with user@ before it and :port after it where they are not
// the defaults. An unreachable node is of kind Network, a wrong host key of kind Verify, a refused
// login of kind Input.
func Dial(ctx context.Context, host string, o Options) (*Node, error) {
	n, err := target(host, o.User)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	trust, err := openTrust(n, o)
	if err != nil {
		return nil, err
	}
	keys, err := openKeys(n, o)
	if err != nil {
		return nil, err
	}
	defer keys.close()
	conn, err := n.connect(ctx, o)
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "check its name or address, and that it is on", "%s cannot be reached", n.Host)
	}
	// The time a person takes to answer a question does not count: the limit is for the wire alone.
	var late atomic.Bool
	timer := time.AfterFunc(o.Timeout, func() { late.Store(true); conn.Close() })
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	pause := func(f func()) { timer.Stop(); f(); timer.Reset(o.Timeout) }
	trust.pause, keys.pause = pause, pause
	c, chans, requests, err := ssh.NewClientConn(conn, n.Address, &ssh.ClientConfig{
		User: n.User, Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(keys.signers)},
		HostKeyCallback: trust.check, HostKeyAlgorithms: trust.algorithms(),
	})
	switch {
	case err == nil:
	case trust.err != nil:
		err = trust.err
	case ctx.Err() != nil:
		err = ctx.Err()
	case late.Load():
		err = fault.New(fault.Network, "look whether sshd runs there", "%s does not answer ssh within %v", n.Host, o.Timeout)
	case keys.err != nil:
		err = keys.err
	case strings.Contains(err.Error(), "unable to authenticate"):
		err = fault.New(fault.Input, "give the right key with identity=FILE, or add it to the agent with ssh-add",
			"%s lets nobody in as %s with %s", n.Host, n.User, keys.tried())
	default:
		err = fault.Wrap(err, fault.Network, "look whether sshd runs there", "logging in on %s", n.Host)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	n.client, n.HostKey = ssh.NewClient(c, chans, requests), trust.seen
	go n.probe(probeEvery)
	return n, nil
}

// connect opens a connection to the first address of the node that takes one. What is known about
// its key goes by its name, wherever its address comes from.
func (n *Node) connect(ctx context.Context, o Options) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return nil, err
	}
	if o.Find == nil {
		o.Find = lookup.Find
	}
	found, err := o.Find(ctx, host)
	if err != nil {
		return nil, err
	}
	if o.Connect == nil {
		o.Connect = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	var errs []error
	for _, a := range found.Addresses {
		conn, err := o.Connect(ctx, net.JoinHostPort(a, port))
		if err == nil {
			if found.MDNS {
				o.Say("%s is at %s, as mDNS reports", n.Host, a)
			}
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// probeEvery is how often a connection asks its node for a sign of life.
const probeEvery = 15 * time.Second

// probe sends something now and then. A node that has lost its power answers with a reset once it
// is back, which ends what waits for it; TCP's own probes only reach whatever forwards the
// connection.
func (n *Node) probe(every time.Duration) {
	ended := make(chan struct{})
	go func() {
		_ = n.client.Wait()
		close(ended)
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if _, _, err := n.client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		}
	}
}

// target reads [user@]host[:port]; an IPv6 address with a port is in brackets.
func target(text, user string) (*Node, error) {
	n := &Node{User: user}
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		n.User, text = text[:at], text[at+1:]
	}
	if n.User == "" {
		n.User = DefaultUser
	}
	host, port := text, "22"
	if strings.HasPrefix(text, "[") || strings.Count(text, ":") == 1 {
		if h, p, err := net.SplitHostPort(text); err == nil {
			host, port = h, p
		} else {
			host = strings.Trim(text, "[]")
		}
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 || host == "" || strings.ContainsAny(host, " \t\n/[]@") || strings.HasPrefix(host, "-") {
		return nil, fault.New(fault.Usage, "write it as node1, 192.168.1.10, rancher@node1 or node1:2222", "%q is not the name of a host", text)
	}
	n.Host, n.Address = text, net.JoinHostPort(host, port)
	return n, nil
}

// folder is ~/.ssh.
func folder() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "set HOME", "there is no home directory with keys")
	}
	return filepath.Join(home, ".ssh"), nil
}

// Close ends the connection.
func (n *Node) Close() error {
	if err := n.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", n.Host, err)
	}
	return nil
}
