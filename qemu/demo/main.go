// Command demo shows a cluster from nothing: make demo. It builds a server and a worker, boots both
// in QEMU by `imgbuild run nodes=2`, waits until the worker has joined, and prints the commands to
// look around. Ctrl-C ends it. A stand-in plays k3s unless IMGBUILD_K3S=FILE names a real one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// dir has what the demo makes: key, images, configuration of ssh.
const dir = "out/demo"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(ctx context.Context, w io.Writer) error {
	k3s := os.Getenv("IMGBUILD_K3S")
	if k3s == "" {
		fmt.Fprintln(w, "In this demo a stand-in plays k3s: it joins and answers kubectl, and runs no containers.")
	} else {
		fmt.Fprintf(w, "In this demo k3s is %s.\n", k3s)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := newKey(filepath.Join(dir, "id_ed25519"))
	if err != nil {
		return err
	}
	if k3s == "" {
		k3s = filepath.Join(dir, "k3s")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", k3s, "./qemu/fixtures/standin")
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the stand-in: %w\n%s", err, text)
		}
	}
	args := []string{"run", "board=qemu-arm64", "role=server", "nodes=2", "k3s=./" + k3s, "key=" + filepath.Join(dir, "id_ed25519.pub"), "out=" + dir}
	if filepath.IsAbs(k3s) {
		args[4] = "k3s=" + k3s
	}
	fmt.Fprint(w, "\n$ imgbuild")
	for _, a := range args {
		fmt.Fprint(w, " ", a)
	}
	fmt.Fprintln(w)
	found := newFinder(2)
	run := exec.CommandContext(ctx, "bin/imgbuild", args...)
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.WaitDelay = 20 * time.Second
	run.Stdout, run.Stderr = w, io.MultiWriter(os.Stderr, found)
	if err := run.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	select {
	case err := <-ended:
		return end(ctx, err)
	case <-found.up:
	}
	around, stop := context.WithCancel(ctx)
	defer stop()
	looked := make(chan error, 1)
	go func() { looked <- lookAround(around, w, found.nodes(), key) }()
	select {
	case err = <-ended:
		return end(ctx, err)
	case err = <-looked:
	}
	if err != nil {
		run.Cancel()
		return end(ctx, errors.Join(err, <-ended))
	}
	return end(ctx, <-ended)
}

// end is how a run ended: by Ctrl-C is well.
func end(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
