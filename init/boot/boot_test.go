package boot

import (
	"errors"
	"slices"
	"testing"

	"imgbuild/init/base/report"
	"imgbuild/init/boot/node"
)

func TestSteps(t *testing.T) {
	names := map[string]bool{}
	for i, s := range Steps {
		if s.Name == "" || names[s.Name] || len(s.Parts) == 0 || s.Limit <= 0 {
			t.Errorf("step %d: got %+v, want a name of its own, parts and a limit", i, s)
		}
		names[s.Name] = true
		if s.Fatal != (i < 2) {
			t.Errorf("%s: fatal %v, but only without a system is there nothing to go on with", s.Name, s.Fatal)
		}
		seen := map[string]bool{}
		for _, p := range s.Parts {
			if p.Name == "" || p.Run == nil || seen[p.Name] {
				t.Errorf("%s: part %+v", s.Name, p)
			}
			seen[p.Name] = true
		}
	}
}

// tester is a node without consoles.
func tester() *Node {
	n := &Node{Shared: new(node.Shared)}
	n.Base = report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "run"}
	n.reporter = n.Base
	return n
}

// A part that fails is reported, and the step continues; one that is needed ends it.
func TestParts(t *testing.T) {
	var done []string
	part := func(name string, needed bool, err error) Part {
		return Part{name, needed, func(*Node) error { done = append(done, name); return err }}
	}
	lost := errors.New("the disk is gone")
	n := tester()
	err := n.parts([]Part{part("a", false, nil), part("b", false, errors.New("a mistake")), part("c", true, nil), part("d", true, lost), part("e", false, nil)})
	if !errors.Is(err, lost) || !slices.Equal(done, []string{"a", "b", "c", "d"}) {
		t.Errorf("got %v after %q", err, done)
	}
	if p := n.Base.Report.Problems(); len(p) != 1 || p[0].What != "a mistake" {
		t.Errorf("reported: %+v", p)
	}
}

// A step that may fail leaves its line in the report, and the boot goes on.
func TestStep(t *testing.T) {
	n := tester()
	n.step(3, Step{Name: "config", Parts: []Part{{"x", true, func(*Node) error { return errors.New("broken") }}}})
	n.step(4, Step{Name: "network", Parts: []Part{{"x", true, func(*Node) error { return nil }}}})
	got := n.Steps.All()
	if len(got) != 2 || got[0].OK || !got[1].OK || got[0].Name != "config" {
		t.Errorf("got %+v", got)
	}
	if p := n.Base.Report.Problems(); len(p) != 1 || p[0].Step != "config" || p[0].What != "broken" {
		t.Errorf("reported: %+v", p)
	}
}
