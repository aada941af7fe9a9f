package bootstate

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func fresh(t *testing.T, active string) *disk {
	s := sector(t, Fresh(active))
	return &disk{sectors: [2][]byte{s, s}}
}

// boot does to the record what U-Boot does when the chosen slot loads.
func boot(t *testing.T, d *disk) Record {
	r, newer, err := load(d)
	if err != nil || r.Left == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	r.Left--
	d.sectors[newer] = sector(t, r)
	return r
}

func TestUpgradeCommits(t *testing.T) {
	d := fresh(t, A)
	boot(t, d)
	if r, err := Healthy(d, A); err != nil || r.Left != MaxLeft || r.Active != A {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	if r, err := Healthy(d, A); err != nil || r.Trial != B {
		t.Fatalf("the old system, healthy once more before the reboot, must not cancel the trial: %+v, %v", r, err)
	}
	if _, err := Arm(d, B); err == nil {
		t.Fatal("armed twice")
	}
	boot(t, d)
	r, err := Healthy(d, B)
	if err != nil || r.Active != B || r.Trial != "" || r.B != Good || r.A != Good || r.Left != MaxLeft {
		t.Fatalf("%+v, %v", r, err)
	}
	d.trace = nil
	if _, err := Healthy(d, B); err != nil || len(d.trace) > 0 {
		t.Fatalf("nothing changed, yet %d steps were made, %v", len(d.trace), err)
	}
}

func TestUpgradeRollsBack(t *testing.T) {
	d := fresh(t, A)
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	boot(t, d)
	r, err := Rollback(d, "health timeout: sshd")
	if err != nil || r.Slot() != A || r.B != Bad || r.Last != "health-timeout-sshd" || r.Left != MaxLeft {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, s := range d.sectors {
		if got, err := Parse(s); err != nil || got != r {
			t.Fatalf("copy %d: %+v, %v", i, got, err)
		}
	}
}

func TestTrialThatDidNotLoad(t *testing.T) {
	d := fresh(t, A)
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	boot(t, d) // U-Boot counted the trial and then came up with slot a
	if r, err := Healthy(d, A); err != nil || r.Slot() != A || r.B != Bad || r.Last == "" {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestCommittedSlotThatDidNotLoad(t *testing.T) {
	d := fresh(t, A)
	boot(t, d)
	if r, err := Healthy(d, B); err != nil || r.Active != B || r.B != Good || r.A != Bad || r.Last != "a-did-not-load" {
		t.Fatalf("%+v, %v", r, err)
	}
}

// A commit that leaves nothing to go back to: neither three power cuts nor a slot that is given up
// boot the system before.
func TestHealthyAlone(t *testing.T) {
	for _, trial := range []bool{true, false} {
		d := fresh(t, A)
		if trial {
			if _, err := Arm(d, B); err != nil {
				t.Fatal(err)
			}
		}
		running := boot(t, d).Slot()
		r, err := HealthyAlone(d, running)
		if err != nil || r.Active != running || r.Trial != "" || r.State(running) != Good || r.State(Other(running)) != Empty || r.Left != MaxLeft {
			t.Fatalf("trial %v: %+v, %v", trial, r, err)
		}
		if again, err := HealthyAlone(d, running); err != nil || again != r {
			t.Fatalf("trial %v: again %+v, %v, want %v", trial, again, err, r)
		}
		for range MaxLeft {
			if got := boot(t, d).Slot(); got != running {
				t.Fatalf("trial %v: slot %s boots, want %s", trial, got, running)
			}
		}
	}
	d := fresh(t, A)
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	if r, err := HealthyAlone(d, A); err != nil || r.Trial != B || r.B != Empty {
		t.Errorf("an armed trial of the other slot: %+v, %v", r, err)
	}
}

// A committed slot that is given up yields to the other one if that is good, once.
func TestYield(t *testing.T) {
	for _, c := range []struct {
		other string
		want  Record
		fails bool
	}{
		{Good, Record{Active: B, A: Bad, B: Good, Left: MaxLeft, Last: "verity-block-7"}, false},
		{Bad, Record{Active: A, A: Good, B: Bad, Left: MaxLeft}, true},
		{Empty, Record{Active: A, A: Good, B: Empty, Left: MaxLeft}, true},
	} {
		d := fresh(t, A)
		r, err := Load(d)
		if err != nil {
			t.Fatal(err)
		}
		r.set(B, c.other)
		if _, err := Store(d, r); err != nil {
			t.Fatal(err)
		}
		_, err = Yield(d, A, "verity block 7")
		got, lerr := Load(d)
		got.V, got.Seq = 0, 0
		if (err != nil) != c.fails || lerr != nil || got != c.want {
			t.Errorf("other %s: got %+v, %v, %v", c.other, got, err, lerr)
		}
		if err == nil {
			if _, err := Yield(d, B, "verity block 8"); err == nil {
				t.Error("it goes back and forth")
			}
		}
	}
}

// A reason is for one boot: after a healthy one a mere power cut must not bring it up again.
func TestHealthyForgetsTheReason(t *testing.T) {
	d := fresh(t, A)
	if r, err := Rollback(d, "kernel panic"); err != nil || r.Last != "kernel-panic" {
		t.Fatalf("%+v, %v", r, err)
	}
	if r := boot(t, d); r.Last != "kernel-panic" {
		t.Fatalf("%+v, want Last %q", r, "kernel-panic")
	}
	if r, err := Healthy(d, A); err != nil || r.Last != "" || r.Left != MaxLeft {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := Rollback(d, "shutdown"); err != nil {
		t.Fatal(err)
	}
	if r, err := Healthy(d, A); err != nil || r.Last != "shutdown" {
		t.Fatalf("a reason of this very boot was forgotten: %+v, %v", r, err)
	}
}

func TestLostRecord(t *testing.T) {
	d := &disk{sectors: [2][]byte{make([]byte, Size), make([]byte, Size)}}
	if _, err := Load(d); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	if _, err := Arm(d, B); !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	if _, err := Healthy(d, "c"); err == nil {
		t.Fatal("slot c was healthy")
	}
	r, err := Healthy(d, B)
	if err != nil || r != (Record{V: 1, Seq: 1, Active: B, Left: 3, A: Empty, B: Good}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := Load(d); err != nil || again != r {
		t.Fatalf("%+v, %v, want %v", again, err, r)
	}
}

func TestUnreadableCopy(t *testing.T) {
	d := fresh(t, A)
	d.fail = map[int64]error{Copy0: io.ErrUnexpectedEOF}
	if r, err := Load(d); err != nil || r.Active != A {
		t.Fatalf("%+v, %v", r, err)
	}
	d.fail[Copy1] = io.ErrNoProgress
	if _, err := Load(d); !errors.Is(err, ErrNone) || !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(err)
	}
}

func TestArmOnlyTheOtherSlot(t *testing.T) {
	for _, slot := range []string{A, "", "c"} {
		if _, err := Arm(fresh(t, A), slot); err == nil {
			t.Errorf("slot %q was armed while a runs", slot)
		}
	}
}

func TestDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 16<<20); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDisk(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want, err := Healthy(d, A)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Load(d); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := Choose(data[Copy0:Copy0+Size], data[Copy1:Copy1+Size]); err != nil || r != want {
		t.Fatalf("%+v, %v, want %v", r, err, want)
	}
	if _, err := d.WriteAt(make([]byte, 100), Copy0); err == nil {
		t.Error("a part of a sector was written")
	}
	if _, err := OpenDisk(filepath.Join(t.TempDir(), "absent"), false); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What is armed can be taken back while it was not tried; the slot is nothing then.
func TestDisarm(t *testing.T) {
	d := fresh(t, A)
	if r, err := Disarm(d); err != nil || r != Fresh(A) {
		t.Errorf("nothing armed: %+v, %v", r, err)
	}
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	r, err := Disarm(d)
	if err != nil || r.Trial != "" || r.Slot() != A || r.B != Empty || r.A != Good || r.Left != MaxLeft {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Arm(d, B); err != nil {
		t.Errorf("armed again: %v", err)
	}
}

// Only a good slot can be selected, and never while another one is under trial.
func TestSelect(t *testing.T) {
	d := fresh(t, A)
	for _, slot := range []string{B, "c", ""} {
		if _, err := Select(d, slot, "x"); err == nil {
			t.Errorf("slot %q, of which nothing is known, was selected", slot)
		}
	}
	if r, err := Select(d, A, "x"); err != nil || r != Fresh(A) {
		t.Errorf("the committed one: %+v, %v", r, err)
	}
	if _, err := Arm(d, B); err != nil {
		t.Fatal(err)
	}
	if _, err := Select(d, A, "x"); err == nil {
		t.Error("selected while b is under trial")
	}
	boot(t, d)
	if _, err := Healthy(d, B); err != nil {
		t.Fatal(err)
	}
	r, err := Select(d, A, "rollback")
	if err != nil || r.Active != A || r.Slot() != A || r.A != Good || r.B != Good || r.Left != MaxLeft || r.Last != "rollback" {
		t.Errorf("%+v, %v", r, err)
	}
}
