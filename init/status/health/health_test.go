package health

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ok := Func("ok", func(context.Context) error { return nil })
		bad := Func("bad", func(context.Context) error { return errors.New("broken") })
		hangs := Func("hangs", func(context.Context) error { time.Sleep(time.Hour); return nil })
		results := Run(t.Context(), []Check{hangs, ok, bad})
		if got := Passed(results); !reflect.DeepEqual(got, []string{"ok"}) {
			t.Errorf("passed %v", got)
		}
		failed := Failed(results)
		if len(failed) != 2 || failed[0].Name != "hangs" || !strings.Contains(failed[0].Err.Error(), "no result") || failed[1].Err.Error() != "bad: broken" {
			t.Errorf("failed %v", failed)
		}
		if got := Only([]Check{hangs, ok, bad}, Passed(results)); len(got) != 1 || got[0].Name() != "ok" {
			t.Errorf("only %v", got)
		}
		time.Sleep(2 * time.Hour) // let the hanging one end
	})
}

// Health must last: one good moment between two bad ones is not enough.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		flaky := Func("flaky", func(context.Context) error {
			if n++; n < 6 && n != 3 {
				return errors.New("not yet")
			}
			return nil
		})
		rounds := 0
		if err := Await(t.Context(), []Check{flaky}, time.Second, 3, func([]Result) { rounds++ }); err != nil {
			t.Fatal(err)
		}
		if rounds != 8 {
			t.Errorf("%d rounds", rounds)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := Await(ctx, []Check{Func("k3s", func(context.Context) error { return errors.New("the API server answers 500") })}, time.Second, 3, nil)
		if fault.Code(err) != int(fault.Unhealthy) || err.Error() != "not healthy: k3s: the API server answers 500" {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnit(t *testing.T) {
	s := supervise.New(supervise.Options{})
	if err := s.Add(supervise.Unit{Name: "x", Command: []string{"/bin/sh", "-c", "sleep 1000"}}); err != nil {
		t.Fatal(err)
	}
	u := Unit{"x", s}
	if err := u.Check(t.Context()); err == nil || err.Error() != "x: stopped" {
		t.Errorf("got %v", err)
	}
	if err := (Unit{"y", s}).Check(t.Context()); err == nil {
		t.Error("a unit that does not exist is healthy")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
