package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// Words of a command line are nodes where there is a file of them, and hosts else.
func TestHosts(t *testing.T) {
	dir := t.TempDir()
	try := func(words string) string {
		hosts, known, err := Hosts(dir, strings.Fields(words))
		if err != nil {
			return err.Error()
		}
		if known != "" {
			known = " known"
		}
		return strings.Join(hosts, " ") + known
	}
	if got := try("one 10.0.0.1"); got != "one 10.0.0.1" {
		t.Errorf("without a file: %q", got)
	}
	if _, _, err := Hosts(dir, []string{All}); fault.Code(err) != int(fault.Input) {
		t.Errorf("all without a file: %v", err)
	}
	writeCluster(t, dir, key+"nodes:\n"+server+"  two: {board: rpi4, role: worker}\n")
	for _, known := range []string{"", " known"} {
		if known != "" {
			if err := os.WriteFile(filepath.Join(dir, KnownHosts), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for words, want := range map[string]string{"all": "10.0.0.11 two.local" + known, "two root@one": "two.local root@10.0.0.11" + known, "one 10.0.0.9": "10.0.0.11 10.0.0.9", "other": "other"} {
			if got := try(words); got != want {
				t.Errorf("%s: got %q, want %q", words, got, want)
			}
		}
	}
	writeCluster(t, dir, "nodes: {}")
	if _, _, err := Hosts(dir, []string{"one"}); fault.Code(err) != int(fault.Input) {
		t.Errorf("a file that cannot be used: %v", err)
	}
	if got := try("10.0.0.9 nas.lan"); got != "10.0.0.9 nas.lan" {
		t.Errorf("hosts with a file that cannot be used: %q", got)
	}
	for word, want := range map[string]bool{"one": true, "any": true, "a.img": false, "./one": false, KnownHosts: false} {
		if got := Means(dir, word); got != want {
			t.Errorf("%s means a node: %v, want %v", word, got, want)
		}
	}
}

// Five nodes of the example are five images of three slots, those of one slot together.
func TestGroups(t *testing.T) {
	c, _, err := Check("testdata/cluster.yaml", plain(t, "testdata/cluster.secrets.yaml"))
	if err != nil || c == nil {
		t.Fatal(err)
	}
	var got, slots []string
	for _, g := range Groups(append(c.Nodes, c.Nodes[1])) {
		got = append(got, g.Board+" "+g.Role+" "+strings.Join(g.Names(), "+"))
		if len(slots) == 0 || slots[len(slots)-1] != g.slot() {
			slots = append(slots, g.slot())
		}
	}
	if s := strings.Join(got, ", "); len(got) != 5 || len(slots) != 3 || !strings.Contains(s, "rpi4 worker node2+node2") {
		t.Errorf("%s of the slots %q", s, slots)
	}
}
