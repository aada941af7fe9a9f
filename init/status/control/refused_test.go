package control

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/base/guard"
)

// A caller that is sent away reads why, also when the connection is closed before it has asked.
func TestRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	guard.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			refuse(c)
		}
	})
	for range 200 {
		err := Call(path, Request{Verb: "status", Reason: strings.Repeat("x", 100000)}, nil)
		if err == nil || !strings.Contains(err.Error(), "too many ask") || strings.Contains(err.Error(), "reboot the node") {
			t.Fatalf("%v", err)
		}
	}
}
