package consoles

import (
	"context"
	"strings"
	"testing"
	"time"

	"imgbuild/init/supervise"
)

func TestGettys(t *testing.T) {
	units := gettys([]string{"tty0", "ttyAMA0", "ttyS1"})
	want := []string{"getty-tty1", "getty-ttyAMA0", "getty-ttyS1"}
	for i, u := range units {
		if u.Name != want[i] || !u.Optional || !strings.Contains(strings.Join(u.Command, " "), " "+strings.TrimPrefix(want[i], Prefix)+" ") {
			t.Errorf("%+v", u)
		}
		if err := supervise.New(supervise.Options{}).Add(u); err != nil {
			t.Error(err)
		}
	}
}

// A login is there while there is a password, whatever comes before or after.
func TestApply(t *testing.T) {
	s := supervise.New(supervise.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	list := gettys([]string{"ttyS0"})
	list[0].Command = []string{"/bin/sleep", "1000"}
	problem := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	apply(s, list, false, problem)
	if _, ok := s.State("getty-ttyS0"); ok {
		t.Error("a login without a password")
	}
	for range 2 {
		for range 2 {
			apply(s, list, true, problem)
			if err := s.Wait(ctx, "getty-ttyS0"); err != nil {
				t.Fatal(err)
			}
		}
		apply(s, list, false, problem)
		for st, _ := s.State("getty-ttyS0"); st.Phase != supervise.Stopped; st, _ = s.State("getty-ttyS0") {
			if ctx.Err() != nil {
				t.Fatalf("it is still %s", st)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
