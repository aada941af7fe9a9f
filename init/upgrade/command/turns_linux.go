package command

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/k3s"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/supervise"
	"imgbuild/init/upgrade/turns"
)

// TurnsUnit is the service that keeps whose turn it is.
const TurnsUnit = "upgrade-turns"

// TurnsUnits is that service, on the node that has it.
func TurnsUnits(cfg *config.Config, role string) []supervise.Unit {
	if !Keeps(cfg, role) {
		return nil
	}
	return []supervise.Unit{{
		Name: TurnsUnit, Command: []string{"/usr/bin/shelf", "upgrade", "turns"}, Optional: true,
		Ready: supervise.Ready{Kind: supervise.TCP, Address: "127.0.0.1:" + turns.Port},
	}}
}

// ServeTurns keeps whose turn it is, until ctx ends. It is for root on a server.
func ServeTurns(ctx context.Context, cfg *config.Config) error {
	var synced atomic.Bool
	ask := func() {
		var s status.Status
		if err := control.Call(control.Socket, control.Request{Verb: "status"}, &s); err == nil {
			synced.Store(s.Clock.Synced)
		}
	}
	ask()
	guard.Go(func() {
		for range time.Tick(time.Minute) {
			ask()
		}
	})
	s, err := turns.NewServer(k3s.DataDir(cfg), turns.Path, synced.Load, time.Now, func(format string, a ...any) { fmt.Printf(format+"\n", a...) })
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":"+turns.Port)
	if err != nil {
		return fault.Wrap(err, fault.Unhealthy, "look who has the port", "")
	}
	if err := os.RemoveAll(turns.Socket); err != nil {
		return err
	}
	local, err := net.Listen("unix", turns.Socket)
	if err == nil {
		err = os.Chmod(turns.Socket, 0o600)
	}
	if err != nil {
		return fault.Wrap(err, fault.Internal, "", "the socket of %s", TurnsUnit)
	}
	ended := make(chan error, 2)
	for _, one := range []struct {
		serve *http.Server
		at    net.Listener
	}{{s.HTTP(), tls.NewListener(l, s.TLS())}, {&http.Server{Handler: s.Local(), ReadTimeout: time.Minute}, local}} {
		guard.Go(func() { ended <- one.serve.Serve(one.at) })
		defer one.serve.Close()
	}
	select {
	case err := <-ended: // the supervisor starts it again
		return fault.Wrap(err, fault.Unhealthy, "", TurnsUnit)
	case <-ctx.Done():
		return nil
	}
}
