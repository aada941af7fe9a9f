package fleet

import (
	"context"
	"fmt"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

func TestWaves(t *testing.T) {
	got := waves([]string{"router", "worker", "storage", "server", "worker", "", "router"})
	if want := [][]int{{1, 4}, {3}, {2, 5}, {0, 6}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// house are fakes of these roles that stop when they are ordered to.
type house struct {
	nodes   []*fake
	targets []Target
	h       Halting
	out     strings.Builder
	mu      sync.Mutex
	off     []string // addresses, in order
}

func newHouse(t *testing.T, verb string, roles ...string) *house {
	t.Helper()
	s := &house{}
	nodes, login := newFakes(t, len(roles))
	for i, role := range roles {
		n := nodes[i]
		n.says = map[string]said{ask: {fmt.Sprintf(`{"role":%q,"health":"good"}`, role), 0}, bootID: {"first\n", 0}, "shelf " + verb: {"", 0}, strings.TrimPrefix(openFiles, "sudo "): {"", 0}}
		n.then = func(command string) {
			if command == "shelf "+verb {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.off = append(s.off, n.Address)
			}
		}
		s.targets = append(s.targets, Target{Name: fmt.Sprint(role, i), Host: n.Address})
	}
	s.nodes = nodes
	s.h = Halting{Verb: verb, Login: login, Limit: time.Minute, Stop: time.Minute, Open: time.Minute, Pause: time.Millisecond, Out: &s.out,
		Answers: func(_ context.Context, address string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return !slices.Contains(s.off, address)
		}}
	return s
}

// order are the names of the nodes in the order in which they stopped.
func (s *house) order() (list []string) {
	for _, a := range s.off {
		i := slices.IndexFunc(s.targets, func(t Target) bool { return t.Host == a })
		list = append(list, s.targets[i].Name)
	}
	return list
}

// The order is by what the nodes are, and storage waits for its clients.
func TestHalt(t *testing.T) {
	s := newHouse(t, Poweroff, "router", "storage", "server", "worker")
	store := s.nodes[1]
	open := strings.TrimPrefix(openFiles, "sudo ")
	store.says[open] = said{"a\nb\n", 0}
	then, looked := store.then, 0
	store.then = func(command string) {
		if then(command); command == open {
			if looked++; looked == 3 {
				store.mu.Lock()
				store.says[open] = said{"", 0}
				store.mu.Unlock()
			}
		}
	}
	if err := Halt(t.Context(), s.targets, s.h); err != nil {
		t.Fatal(err)
	}
	if got, want := s.order(), []string{"worker3", "server2", "storage1", "router0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := len(store.did(open)); n != 4 {
		t.Errorf("the storage was looked at %d times, want 4", n)
	}
	if got := s.out.String(); !strings.Contains(got, "storage1: clients have 2 files open; waiting for them, 1m0s at most\n") || !strings.HasSuffix(got, "router0: poweroff is on its way\nrouter0: stopped\n") {
		t.Errorf("printed\n%s", got)
	}
}

// Files that stay open, a node that does not stop, one that refuses and one that is silent do not
// keep the others.
func TestHaltWithTrouble(t *testing.T) {
	s := newHouse(t, Poweroff, "worker", "worker", "worker", "storage", "router")
	s.h.Stop, s.h.Open = 200*time.Millisecond, 200*time.Millisecond
	s.nodes[0].then = nil // it takes the order, and runs on
	s.nodes[1].then, s.nodes[1].says["shelf poweroff"] = nil, said{"", 6}
	s.nodes[2].Close()
	s.nodes[3].says[strings.TrimPrefix(openFiles, "sudo ")] = said{"a\n", 0}
	err := Halt(t.Context(), s.targets, s.h)
	if fault.Code(err) != int(fault.Unhealthy) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"3 of 5 nodes", "worker0: it has not stopped within 200ms", "worker1: ", "worker2: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if got, want := s.order(), []string{"storage3", "router4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := s.out.String(); !strings.Contains(got, "storage3: not waited for any longer\n") {
		t.Errorf("printed\n%s", got)
	}
}

// A node that is back before anybody looked has stopped: it runs after another boot.
func TestHaltReboot(t *testing.T) {
	s := newHouse(t, Reboot, "worker")
	n := s.nodes[0]
	s.h.Answers = func(context.Context, string) bool { return true }
	then := n.then
	n.then = func(command string) {
		if then(command); command == "shelf reboot" {
			n.mu.Lock()
			n.says[bootID] = said{"second\n", 0}
			n.mu.Unlock()
		}
	}
	if err := Halt(t.Context(), s.targets, s.h); err != nil {
		t.Fatal(err)
	}
	if got := n.did("shelf reboot"); len(got) != 1 {
		t.Errorf("it was ordered %d times", len(got))
	}
}

// What looks for open files is a shell's; without servers and clients there are none.
func TestOpenFiles(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.TrimPrefix(openFiles, "sudo ")).Output()
	if err != nil || len(out) > 0 {
		t.Errorf("got %q, %v", out, err)
	}
}
