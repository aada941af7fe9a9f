package supervise

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/fault"
)

func TestBadUnits(t *testing.T) {
	ok := []string{"/bin/true"}
	for _, c := range []struct {
		u    Unit
		want string
	}{
		{Unit{Command: ok}, "a name has"},
		{Unit{Name: "../etc", Command: ok}, "a name has"},
		{Unit{Name: ".x", Command: ok}, "a name has"},
		{Unit{Name: strings.Repeat("x", 65), Command: ok}, "a name has"},
		{Unit{Name: "x"}, "no command"},
		{Unit{Name: "x", Command: ok, Needs: []string{"x"}}, "needs itself"},
		{Unit{Name: "x", Command: ok, OOMScore: 1001}, "oom score"},
		{Unit{Name: "x", Command: ok, Limits: cgroup.Limits{CPUWeight: 20000}}, "cpu weight"},
		{Unit{Name: "x", Command: ok, Ready: Ready{Kind: TCP, Address: "nowhere"}}, "readiness by tcp"},
		{Unit{Name: "x", Command: ok, Ready: Ready{Kind: File}}, "readiness by file"},
		{Unit{Name: "x", Command: ok, Ready: Ready{Kind: Succeeds}}, "readiness by command"},
		{Unit{Name: "x", Command: ok, Ready: Ready{Kind: 99}}, "unknown readiness"},
		{Unit{Name: "x", Command: ok, Restart: 99}, "unknown restart"},
	} {
		err := New(Options{}).Add(c.u)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.Code(err) != int(fault.Input) {
			t.Errorf("%+v: got %v, want %q", c.u, err, c.want)
		}
	}
	s := New(Options{})
	if err := s.Add(Unit{Name: "x", Command: ok}); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(Unit{Name: "x", Command: ok}); err == nil {
		t.Error("two units of one name")
	}
}

func units(spec string) []Unit {
	var list []Unit
	for _, f := range strings.Fields(spec) {
		name, needs, _ := strings.Cut(f, ":")
		u := Unit{Name: name, Command: []string{"x"}}
		if needs != "" {
			u.Needs = strings.Split(needs, ",")
		}
		list = append(list, u)
	}
	return list
}

func TestOrder(t *testing.T) {
	order, err := startOrder(units("d:b,c b:a c:a a e"))
	if err != nil || strings.Join(order, " ") != "a b c d e" {
		t.Errorf("%v, %v: got %q, want %q", order, err, strings.Join(order, " "), "a b c d e")
	}
	list := units("d:b,c b:a c:a a e f:e")
	list[5].StopOrder = -5 // f before all
	list[3].StopOrder = 5  // a after all
	rounds, err := stopRounds(list)
	if want := [][]string{{"f"}, {"d", "e"}, {"b", "c"}, {"a"}}; err != nil || !reflect.DeepEqual(rounds, want) {
		t.Errorf("%v, %v", rounds, err)
	}
	for spec, want := range map[string]string{
		"a:b b:c c:a": "in a circle: a -> b -> c -> a",
		"x a:b b:a":   "in a circle: a -> b -> a",
		"a:zzz":       `"a" needs "zzz", which does not exist`,
	} {
		if _, err := startOrder(units(spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", spec, err, want)
		}
	}
	s := New(Options{})
	for _, u := range units("a:b b:a") {
		if err := s.Add(u); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("a circle was started")
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for n := range 6 {
		got = append(got, backoff(time.Second, 10*time.Second, n))
	}
	if want := []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9, 10e9}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if d := backoff(5*time.Second, 5*time.Second, 1<<30); d != 5*time.Second { // k3s
		t.Errorf("%v", d)
	}
}

func TestNotice(t *testing.T) {
	for in, want := range map[string]notice{
		"READY=1":                             {ready: true},
		"READY=1\nSTATUS=up and running\n":    {ready: true, status: "up and running"},
		"READY=0":                             {},
		"STOPPING=1\nMAINPID=12\nX\n=\n":      {stopping: true},
		"STATUS=\x1b[2Jclear\tthe screen\r\n": {status: "[2Jclear the screen"},
		"":                                    {},
	} {
		if got := parseNotice([]byte(in)); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
}

func FuzzNotice(f *testing.F) {
	for _, s := range []string{"READY=1", "STATUS=a\nREADY=1", "STATUS=\xff\x00\u0085é", "=", "\n\n", strings.Repeat("STATUS=é", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := parseNotice(data)
		if len(n.status) > statusLimit || strings.ContainsFunc(n.status, func(r rune) bool { return r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 }) {
			t.Errorf("status %q", n.status)
		}
		if n.ready && !strings.Contains(string(data), "READY=1") {
			t.Error("ready out of nothing")
		}
	})
}
