package fleet

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

const (
	good = `{"hostname":"one","role":"server","board":"rpi4","version":"20260101-0badc0de","slot":"a","health":"good","up":93784.5,` +
		`"machine":{"temperature":[{"celsius":41.2},{"celsius":55.6}]},"disks":[{"path":"/k3os","free":7},{"path":"/","free":5368709120}]}`
	bad = `{"hostname":"other","role":"worker","board":"rpi3","version":"20260101-0badc0de","slot":"b","health":"bad","up":61,"why":["k3s: failed"],` +
		`"upgrade":{"state":"rolled back","version":"20260202-0badc0de","reason":"k3s was not ready"}}`
	check = "shelf config check - output=json"
	ask   = "shelf status -o json"
)

// All nodes are asked, each gets its own configuration, and what is wrong with one does not keep
// the others.
func TestStatus(t *testing.T) {
	nodes, login := newFakes(t, 4)
	nodes[0].says = map[string]said{ask: {good, 0}, check: {`{"hostname":"one"}`, 0}}
	nodes[1].says = map[string]said{ask: {bad, 7}, check: {`{"changes":[{"path":"network.search"}]}`, 0}}
	nodes[2].says = map[string]said{ask: {"no JSON", 0}}
	nodes[3].Close()
	targets := []Target{
		{"one", nodes[0].Address, "rpi4", "server", []byte("a")}, {"two", nodes[1].Address, "rpi4", "worker", []byte("b")},
		{"three", nodes[2].Address, "", "", nil}, {"four", nodes[3].Address, "rpi4", "router", []byte("d")},
	}
	rows := Status(t.Context(), targets, login, time.Minute)
	yes, no, hot, free := true, false, 55.6, uint64(5<<30)
	if want := (Row{Node: "one", Host: nodes[0].Address, Role: "server", Board: "rpi4", Slot: "a", Version: "20260101-0badc0de", Health: "good", Up: 93784.5,
		Temperature: &hot, Free: &free, Wrong: []string{}, Differs: &no}); !reflect.DeepEqual(rows[0], want) {
		t.Errorf("one: got %+v\nwant %+v", rows[0], want)
	}
	if want := (Row{Node: "two", Host: nodes[1].Address, Role: "worker", Board: "rpi3", Slot: "b", Version: "20260101-0badc0de", Health: "bad", Up: 61, Differs: &yes, Changes: []config.Change{{Path: "network.search"}},
		Wrong: []string{"k3s: failed", "its board is rpi3, and rpi4 in the file", "its name is other, and two in the file", "it rolled back 20260202-0badc0de: k3s was not ready"}}); !reflect.DeepEqual(rows[1], want) {
		t.Errorf("two: got %+v\nwant %+v", rows[1], want)
	}
	for i, want := range map[int]string{2: "returns no status", 3: "cannot be reached"} {
		if r := rows[i]; r.Health != Silent || len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0], want) {
			t.Errorf("%s: got %+v, want %q", r.Node, r, want)
		}
	}
	if err := Unhealthy(rows); fault.Code(err) != int(fault.Unhealthy) || !strings.Contains(err.Error(), "3 of 4 nodes are bad or silent: four, three, two") {
		t.Errorf("the error: %v", err)
	}
	if err := Unhealthy(rows[:1]); err != nil {
		t.Errorf("a good node is an error: %v", err)
	}
	var b strings.Builder
	if err := Table(&b, rows); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"NODE ROLE BOARD SLOT VERSION HEALTH UP TEMP FREE FILE WHAT IS WRONG", "one server rpi4 a 20260101-0badc0de good 1d 2h 56 °C 5.0 GiB same -",
		"two worker rpi3 b 20260101-0badc0de bad 1m - - differs k3s: failed; its board", "three - - - - silent - - - - ", "four router rpi4 - - silent"} {
		line := strings.Join(strings.Fields(strings.Split(b.String(), "\n")[i]), " ")
		if !strings.HasPrefix(line, want) {
			t.Errorf("line %d: got %q, want %q", i, line, want)
		}
	}
}

// A node that takes the login and then keeps silent is given up.
func TestStatusLimit(t *testing.T) {
	nodes, login := newFakes(t, 1)
	nodes[0].then = func(string) { <-t.Context().Done() }
	rows := Status(t.Context(), []Target{{Name: "one", Host: nodes[0].Address}}, login, time.Second/2)
	if rows[0].Health != Silent || len(rows[0].Wrong) != 1 || !strings.Contains(rows[0].Wrong[0], "answer") {
		t.Errorf("got %+v", rows[0])
	}
}

// What a node prints must not control the terminal.
func TestTableIsSafe(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, []Row{{Node: "a", Wrong: []string{"\x1b[2J\nx\ty"}}}); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "\x1b") || strings.Count(s, "\n") != 2 {
		t.Errorf("got %q", s)
	}
}
