package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// node is one that can be logged in to.
type node struct{ name, port string }

// finder reads how to log in from what `imgbuild run` prints: once for each node when all run, and
// once more for each that is up.
type finder struct {
	up chan struct{} // closed when all nodes are up

	mu   sync.Mutex
	want int
	line []byte
	list []node
	seen map[string]int
}

func newFinder(want int) *finder {
	return &finder{up: make(chan struct{}), want: want, seen: map[string]int{}}
}

// login is the line of a node.
var login = regexp.MustCompile(`^(\S+) +10\.77\.0\.\d+ +ssh rancher@127\.0\.0\.1 -p (\d+) `)

func (f *finder) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range p {
		if b != '\n' {
			f.line = append(f.line, b)
			continue
		}
		m := login.FindSubmatch(f.line)
		f.line = f.line[:0]
		if m == nil {
			continue
		}
		name := string(m[1])
		if f.seen[name]++; f.seen[name] == 1 {
			f.list = append(f.list, node{name, string(m[2])})
		}
		if f.seen[name] == 2 {
			if f.want--; f.want == 0 {
				close(f.up)
			}
		}
	}
	return len(p), nil
}

func (f *finder) nodes() []node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

// newKey makes a key pair for this demo: file, and file.pub.
func newKey(file string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "demo")
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return nil, err
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " demo\n"
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return signer, os.WriteFile(file+".pub", []byte(public), 0o644)
}

// lookAround waits until the worker has joined the server, and prints what to do next.
func lookAround(ctx context.Context, w io.Writer, nodes []node, key ssh.Signer) error {
	config := filepath.Join(dir, "ssh_config")
	var text strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&text, "Host %s\n  HostName 127.0.0.1\n  Port %s\n  User rancher\n  IdentityFile %s\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n",
			n.name, n.port, filepath.Join(dir, "id_ed25519"))
	}
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return err
	}
	const list = "sudo k3s kubectl get nodes"
	var out string
	for {
		var err error
		out, err = over(ctx, nodes[0], key, list)
		if err == nil && len(regexp.MustCompile(`(?m)^\S+ +Ready\b`).FindAllString(out, -1)) == len(nodes) {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	fmt.Fprintf(w, "\nThe worker has joined:\n$ ssh -F %s %s %s\n%s", config, nodes[0].name, list, out)
	fmt.Fprintf(w, "\nLook around, from another terminal in this directory:\n")
	for _, c := range []string{nodes[0].name, nodes[0].name + " " + list, nodes[1].name + " shelf status", nodes[1].name + " sudo shelf logs k3s", nodes[1].name + " shelf network"} {
		fmt.Fprintf(w, "  ssh -F %s %s\n", config, c)
	}
	fmt.Fprintln(w, "Ctrl-C ends both nodes; nothing of them is kept.")
	return nil
}

// over runs a command on a node. The host key is new with every demo.
func over(ctx context.Context, n node, key ssh.Signer, command string) (string, error) {
	client, err := ssh.Dial("tcp", "127.0.0.1:"+n.port, &ssh.ClientConfig{User: "rancher", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second})
	if err != nil {
		return "", err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	var out bytes.Buffer
	session.Stdout = &out
	err = session.Run(command)
	return out.String(), err
}
