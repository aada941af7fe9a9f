package role

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/uevent"
	"imgbuild/init/contract/config"
	"imgbuild/init/k3s"
	"imgbuild/init/k3s/datadisk"
	"imgbuild/init/supervise"
)

// node is k3s on a node whose configuration names a data disk, or none.
func node(t *testing.T, device string) (r *K3s, saved *int) {
	t.Helper()
	cfg := &config.Config{}
	cfg.Data.Device = device
	cfg.K3OS.Environment = map[string]string{"K3S_DATA_DIR": t.TempDir()}
	saved = new(int)
	return &K3s{
		Config: func() *config.Config { return cfg }, Units: supervise.New(supervise.Options{}), Reporter: newReporter(),
		Disk: &datadisk.Disk{Boot: "vda", Host: "node"}, Save: func() { *saved++ }, Reload: func(string) {},
		Time: func(context.Context) error { return nil }, Before: func(context.Context) error { return nil },
	}, saved
}

// Without a data disk k3s starts on the node's own, after what comes before it.
func TestData(t *testing.T) {
	r, _ := node(t, "")
	refused := errors.New("the datastore is of another version")
	r.Before = func(context.Context) error { return refused }
	if err := r.Data(t.Context(), nil); !errors.Is(err, refused) {
		t.Errorf("got %v, want what keeps k3s from starting", err)
	}
	r.Before = func(context.Context) error { return nil }
	if err := r.Data(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if s := r.Disk.Status().State; s != datadisk.None {
		t.Errorf("got a disk that is %s", s)
	}
}

// A disk that is missing is awaited for a while after the boot, then reported, and k3s waits.
func TestDataOfAMissingDisk(t *testing.T) {
	r, saved := node(t, "LABEL=no-disk-has-this-label")
	began := false
	r.Before = func(context.Context) error { began = true; return nil }
	err := r.Data(t.Context(), nil)
	var waiting *supervise.Waiting
	if !errors.As(err, &waiting) || !strings.Contains(waiting.What, "no-disk-has-this-label") || began {
		t.Errorf("got %v, want a unit that waits for the disk", err)
	}
	if p := r.Reporter.Report.Problems(); len(p) != 1 || p[0].Step != "data disk" || *saved == 0 {
		t.Errorf("reported %+v, saved %d times, want one problem in a saved report", p, *saved)
	}
	if s := r.Disk.Status().State; s != datadisk.Absent {
		t.Errorf("got a disk that is %s, want %s", s, datadisk.Absent)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Data(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: got %v", err)
	}
}

// A block device that appears has k3s look for its disk again; any other event does not.
func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := node(t, "LABEL=no-disk-has-this-label")
		looked := 0
		u := supervise.Unit{Name: k3s.Name, Command: []string{"/bin/false"}, Prepare: func(context.Context, supervise.Say) error {
			looked++
			return &supervise.Waiting{What: "a disk"}
		}}
		if err := errors.Join(r.Units.Add(u), r.Units.StartUnit(k3s.Name)); err != nil {
			t.Fatal(err)
		}
		if err := r.Disk.Ready(t.Context(), r.Config().Data.Device, k3s.DataDir(r.Config())); !datadisk.IsAbsent(err) {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, c := range []struct {
			event uevent.Event
			want  int
		}{
			{uevent.Event{"SUBSYSTEM": "net", "ACTION": "add"}, 1},
			{uevent.Event{"SUBSYSTEM": "block", "ACTION": "remove"}, 1},
			{uevent.Event{"SUBSYSTEM": "block", "ACTION": "add"}, 2},
		} {
			r.Handle(c.event)
			synctest.Wait()
			if looked != c.want {
				t.Errorf("%v: looked %d times, want %d", c.event, looked, c.want)
			}
		}
		if err := r.Units.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Restart starts a running k3s again, and leaves alone one that was stopped, or that there is not.
func TestRestart(t *testing.T) {
	units := supervise.New(supervise.Options{})
	problem := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	Restart(units, problem)
	if err := units.Add(supervise.Unit{Name: k3s.Name, Command: []string{"/bin/sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	Restart(units, problem)
	if s, _ := units.State(k3s.Name); s.Starts != 0 {
		t.Errorf("a stopped k3s: got %+v", s)
	}
	if err := errors.Join(units.StartUnit(k3s.Name), units.Wait(t.Context(), k3s.Name)); err != nil {
		t.Fatal(err)
	}
	Restart(units, problem)
	if err := units.Wait(t.Context(), k3s.Name); err != nil {
		t.Fatal(err)
	}
	if s, _ := units.State(k3s.Name); s.Starts != 2 {
		t.Errorf("a running k3s: got %+v, want a second start", s)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	if err := units.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestBackups(t *testing.T) {
	for _, c := range []struct {
		role, to string
		want     bool
	}{{k3s.Server, "nfs://nas/export", true}, {k3s.Server, "", false}, {k3s.Worker, "nfs://nas/export", false}} {
		cfg := &config.Config{}
		cfg.Shelf.Role, cfg.Backup.To = c.role, c.to
		if _, got := Backups(cfg); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
