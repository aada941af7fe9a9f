// Command standin takes the place of k3s in the boot tests: real k3s needs minutes under emulation and a download. It looks at
// everything that k3s needs of a node (check/facts.txt) and ends with the name of the fact that does not hold; then it behaves like
// k3s as far as the node can tell: configuration, readiness, the API's readyz behind a client certificate, the join with a token, the
// kubelet's healthz, a shim and mounts that outlive it, and exit status 1 after SIGTERM.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// version is what real k3s of the pinned release prints, marked.
const version = "v1.35.0+k3s1"

func main() {
	args := os.Args[1:]
	switch filepath.Base(os.Args[0]) {
	case shimName:
		shim()
		return
	case "kubectl":
		args = append([]string{"kubectl"}, args...)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	var err error
	switch args[0] {
	case "server", "agent":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		err = run(ctx, args[0], args[1:])
	case "kubectl":
		err = kubectl(os.Stdout, "/", args[1:])
	case "--version", "-v":
		fmt.Printf("k3s version %s (standin)\ngo version %s\n", version, runtime.Version())
	default:
		fmt.Println("usage: k3s server|agent|kubectl|--version (a stand-in for tests, not k3s)")
	}
	if err != nil {
		say("fatal", err.Error())
		os.Exit(1)
	}
}

// say writes a line in the shape of k3s' log.
func say(level, message string) {
	fmt.Fprintf(os.Stderr, "time=%q level=%s msg=%q\n", time.Now().UTC().Format(time.RFC3339), level, message)
}
