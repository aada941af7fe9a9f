package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/fleet"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// Hosts need no file; nodes of one are all asked without being named, and one that is silent is
// exit code 7.
func TestStatus(t *testing.T) {
	printed := silence(t)
	t.Chdir(t.TempDir())
	home, line := sshd.Home(t, "")
	s := sshd.Start(t, "exec", func(ch ssh.Channel, command string) int {
		fmt.Fprint(ch, `{"hostname":"one","role":"server","board":"rpi4","slot":"a","health":"good","up":60}`)
		return 0
	})
	s.Allow(line)
	failed(t, dispatch(t.Context(), []string{"status"}), fault.Input, "no cluster.yaml here")
	if err := dispatch(t.Context(), []string{"status", s.Address, "key=accept-new", "-o", "json"}); err != nil {
		t.Fatal(err)
	}
	failed(t, dispatch(t.Context(), []string{"poweroff", s.Address, s.Address}), fault.Usage, "is named twice")
	failed(t, dispatch(t.Context(), []string{"reboot"}), fault.Usage, "reboot needs a node")
	var rows []fleet.Row
	if err := json.Unmarshal([]byte(printed()), &rows); err != nil || len(rows) != 1 || rows[0].Node != s.Address || rows[0].Health != "good" || rows[0].Differs != nil {
		t.Errorf("got %v %s", err, printed())
	}
	if err := os.WriteFile("cluster.yaml", []byte("nodes:\n  one: {board: rpi4, role: storage, address: 192.0.2.1/24}\n  two: {board: rpi4, role: storage, address: 192.0.2.2/24}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(home + "/.ssh"); err != nil { // nothing is asked: there is no key
		t.Fatal(err)
	}
	failed(t, dispatch(t.Context(), []string{"status"}), fault.Unhealthy, "2 of 2 nodes are bad or silent: one, two")
	failed(t, dispatch(t.Context(), []string{"status", "two", "two"}), fault.Usage, "two is named twice")
	failed(t, dispatch(t.Context(), []string{"status", "all", "two"}), fault.Usage, "all is every node")
	failed(t, dispatch(t.Context(), []string{"status", "limit=0"}), fault.Usage, "limit=0")
	if got := printed(); strings.Count(got, "there is no private key to log in on 192.0.2.") != 2 {
		t.Errorf("printed\n%s", got)
	}
}
