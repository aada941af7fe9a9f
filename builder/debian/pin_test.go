package debian

import (
	"slices"
	"testing"

	"imgbuild/init/contract/fault"
)

func TestPin(t *testing.T) {
	ix := indexOf(t, `Package: linux
Version: 2
Depends: linux-2 (= 2)

Package: linux
Version: 1
Depends: linux-1 (= 1)

Package: linux-1
Version: 1

Package: linux-2
Version: 2

Package: tool
Version: 1

Package: tool
Version: 1.5

Package: tool
Version: 1.10
Provides: thing`)
	if got := ix.Versions("tool"); !slices.Equal(got, []string{"1.10", "1.5", "1"}) {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		pins []string
		want string
		kind fault.Kind
	}{
		{nil, "linux 2, linux-2 2, tool 1.10", 0},
		{[]string{"linux=1"}, "linux 1, linux-1 1, tool 1.10", 0},
		{[]string{"tool=1.5", "linux=2"}, "linux 2, linux-2 2, tool 1.5", 0},
		{[]string{"tool=1.6"}, "", fault.Input},
		{[]string{"tol=1"}, "", fault.Input},
	} {
		r := Request{Arch: "arm64", Want: []string{"linux", "tool"}}
		for _, s := range c.pins {
			p, err := ParsePin(s)
			if err != nil {
				t.Fatal(err)
			}
			r.Pin = append(r.Pin, p)
		}
		l, err := ix.Lock(r)
		if fault.Code(err) != int(c.kind) {
			t.Errorf("%q: got %v, want code %d", c.pins, err, c.kind)
			continue
		}
		got := ""
		if err == nil {
			for i, p := range l.Packages {
				if i > 0 {
					got += ", "
				}
				got += p.Name + " " + p.Version
			}
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.pins, got, c.want)
		}
	}
	// A version that provides something else than the newest one.
	if res, err := ix.Resolve([]string{"thing"}, nil); err != nil || names(res) != "tool" {
		t.Errorf("got %v, %v", names(res), err)
	}
	old, err := ix.pinned([]Pin{{"tool", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Resolve([]string{"thing"}, nil); fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v, want that nothing provides it", err)
	}
	for _, bad := range []string{"", "x", "=1", "x=", "X y=1"} {
		if _, err := ParsePin(bad); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
