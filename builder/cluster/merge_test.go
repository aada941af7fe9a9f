package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func read(t *testing.T, text string) *value {
	t.Helper()
	v, bad := parse("a.yaml", []byte(text))
	if bad != nil {
		t.Fatalf("%s: %v", text, bad)
	}
	return v
}

// flat is a value on one line.
func flat(v *value) string {
	switch {
	case v == nil:
		return "-"
	case v.kind == yaml.MappingNode:
		var out []string
		for _, e := range v.keys {
			out = append(out, e.name+":"+flat(e.v))
		}
		return "{" + strings.Join(out, ",") + "}"
	case v.kind == yaml.SequenceNode:
		var out []string
		for _, i := range v.items {
			out = append(out, flat(i))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	return v.node.Value
}

func TestMerge(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"{a: 1, b: {c: 2}}", "{b: {d: 3}, e: 4}", "{a:1,b:{c:2,d:3},e:4}"},
		{"{a: [1, 2]}", "{a: [3]}", "{a:[3]}"},
		{"{a: [{name: x, v: 1}, {name: y}]}", "{a: [{name: z}, {name: x, w: 2}]}", "{a:[{name:x,v:1,w:2},{name:y},{name:z}]}"},
		{"{a: [{name: x}]}", "{a: [{v: 1}]}", "{a:[{v:1}]}"},
		{"{a: [{name: x}]}", "{a: []}", "{a:[]}"},
		{"{a: [{name: x}]}", "{a: [{name: y}, {name: y}]}", "{a:[{name:y},{name:y}]}"},
		{"{a: {b: 1}}", "{a: 2}", "{a:2}"},
		{"{a: {b: 1}}", "{a: null}", "{a:null}"},
		{"{a: 1}", "", "{a:1}"},
		{"", "{a: 1}", "{a:1}"},
	} {
		if got := flat(merge(read(t, c.a), read(t, c.b))); got != c.want {
			t.Errorf("%s and %s: got %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

// random is a value with few names, so that two of them meet often.
func random(r *rand.Rand, depth int) *value {
	switch n := r.IntN(6); {
	case depth > 0 && n < 3:
		v := newMap(place{})
		for _, name := range []string{"a", "b", "name"} {
			if r.IntN(2) == 0 {
				v.keys = append(v.keys, entry{name, place{}, random(r, depth-1)})
			}
		}
		return v
	case depth > 0 && n < 5:
		v := &value{kind: yaml.SequenceNode}
		for i := range r.IntN(3) {
			if r.IntN(3) > 0 {
				v.items = append(v.items, newItem(place{}, "name", fmt.Sprint("n", r.IntN(3)), "v", fmt.Sprint(i)))
			} else {
				v.items = append(v.items, random(r, depth-1))
			}
		}
		return v
	}
	return newText(place{}, fmt.Sprint(r.IntN(3)))
}

// Of any two values: nothing of the second is lost, merging it twice or with itself changes nothing
// more, what is in one of two maps alone is kept, and neither of the two is changed.
func TestMergeProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		a, b := random(r, 4), random(r, 4)
		was := flat(a) + flat(b)
		m := merge(a, b)
		if got := flat(a) + flat(b); got != was {
			t.Fatalf("changed from %s to %s", was, got)
		}
		if got, want := flat(merge(m, b)), flat(m); got != want {
			t.Fatalf("%s and %s, then the second once more: got %s, want %s", flat(a), flat(b), got, want)
		}
		if got, want := flat(merge(a, a)), flat(a); got != want {
			t.Fatalf("%s with itself: %s", want, got)
		}
		within(t, b, m)
		if a.kind == yaml.MappingNode && b.kind == yaml.MappingNode {
			for _, e := range a.keys {
				if b.entry(e.name) == nil && flat(m.get(e.name)) != flat(e.v) {
					t.Fatalf("%s of the first is lost in %s", e.name, flat(m))
				}
			}
			for _, e := range m.keys {
				if a.entry(e.name) == nil && b.entry(e.name) == nil {
					t.Fatalf("%s came from nowhere", e.name)
				}
			}
		}
	}
}

// within checks that everything of b is in m.
func within(t *testing.T, b, m *value) {
	t.Helper()
	switch {
	case m == nil || m.kind != b.kind:
		t.Fatalf("%s is not in %s", flat(b), flat(m))
	case b.kind == yaml.MappingNode:
		for _, e := range b.keys {
			within(t, e.v, m.get(e.name))
		}
	case b.kind == yaml.SequenceNode && named(b) && named(m):
		for _, i := range b.items {
			at := index(m.items, i.name())
			if at < 0 {
				t.Fatalf("%s is not in %s", flat(i), flat(m))
			}
			within(t, i, m.items[at])
		}
	case flat(b) != flat(m):
		t.Fatalf("got %s, want %s", flat(m), flat(b))
	}
}

// What is read is written as it was: text stays text, whatever it looks like.
func TestRoundTrip(t *testing.T) {
	const text = "{a: 'true', b: true, c: 0644, d: '0644', e: null, f: \"x\\ny\\n\", g: [1, [2]], h: 1e3, i: !!str 5, j: '', k: ~}"
	v := read(t, text)
	out, err := v.yaml()
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := yaml.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(out, &b); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%#v", b), fmt.Sprintf("%#v", a); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Anchors are read as the node reads them, within bounds.
func TestAnchors(t *testing.T) {
	if got, want := flat(read(t, "{x: &x {a: 1, b: 2}, y: {<<: *x, a: 3}, z: *x}")), "{x:{a:1,b:2},y:{a:3,b:2},z:{a:1,b:2}}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Join(slices.Repeat([]string{fmt.Sprintf("*a%d", i)}, 10), ", "))
	}
	for _, text := range []string{bomb, "a: &a [*a]", strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		if v, bad := parse("a.yaml", []byte(text)); bad == nil {
			t.Errorf("%.30s: read as %.30s", text, flat(v))
		}
	}
}

// Any text is a cluster or problems that have a line and a sentence; what is a cluster gives
// configurations that can be read.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{key + "nodes:\n" + server + worker, "nodes: {a: {config: x}}", "nodes: {a: &a {board: *a}}", "defaults: {<<: {dns: 1}}\nnodes: {r: {board: rpi3, role: router, config: {router: {mode: nat, uplink: wlan0, leases: []}}}}",
		"nodes: {s: {board: rpi4, role: storage, address: '::1/0', config: {storage: {shares: {a.b: {via: nfs}}}, write_files: {path: /a}}}}"} {
		f.Add(seed, token)
	}
	f.Fuzz(func(t *testing.T, text, secrets string) {
		s := &Secrets{File: SecretsFile}
		if s.parse([]byte(secrets)) != nil {
			return
		}
		r := &reader{file: File, secrets: s, read: func(string, string) ([]byte, error) { return []byte("hostname: a"), nil }}
		c := r.cluster([]byte(text))
		for _, p := range r.sorted() {
			if p.Line < 1 || p.Message == "" || c == nil && p.File == "" {
				t.Fatalf("%q: no line or sentence: %v", text, p)
			}
		}
		if c == nil {
			if !r.failed() {
				t.Fatalf("%q: neither a cluster nor an error", text)
			}
			return
		}
		for _, n := range c.Nodes {
			if _, bad := parse(n.Name, n.Config); bad != nil {
				t.Fatalf("%q: %s is not YAML: %v\n%s", text, n.Name, bad, n.Config)
			}
		}
	})
}
