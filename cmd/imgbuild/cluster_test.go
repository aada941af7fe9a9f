package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// A file of nodes is checked as a whole: its problems have its name, lines and ways out.
func TestValidateCluster(t *testing.T) {
	printed := silence(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("cluster.secrets.yaml", "defaults: {k3os: {token: a-long-random-word}}\n")
	good := write("cluster.yaml", "nodes:\n  one: {board: rpi4, role: server, address: 10.0.0.11/24}\n")
	bad := write("shelf.yaml", "nodes:\n  one: {board: rpi4, role: server, adress: 10.0.0.11/24}\n")
	for _, c := range []struct {
		words []string
		code  fault.Kind
	}{
		{[]string{"validate", good}, 0},
		{[]string{"validate", bad}, fault.Input},
		{[]string{"validate", bad, "output=json"}, fault.Input},
		{[]string{"validate", good, "board=rpi4"}, fault.Usage},
		{[]string{"schema", "cluster"}, 0},
		{[]string{"schema", "clustr"}, fault.Usage},
	} {
		if err := dispatch(context.Background(), c.words); fault.Code(err) != int(c.code) {
			t.Errorf("%v: %v, want code %d", c.words, err, c.code)
		}
	}
	for _, want := range []string{good + ": ok\n", bad + ":2:36: error: nodes.one.adress: there is no such key; did you mean address?", `"key": "nodes.one.adress"`, `"title": "cluster.yaml of ShelfOS"`} {
		if !strings.Contains(printed(), want) {
			t.Errorf("nothing printed %q in\n%s", want, printed())
		}
	}
}
