package ubootstates

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/qemu/long/powercut"
)

// TestJudge: another slot, or another byte of the record, is not what the oracle expects.
func TestJudge(t *testing.T) {
	s := powercut.Sample{
		Record: [2][]byte{bytes.Repeat([]byte{1}, 512), bytes.Repeat([]byte{2}, 512)},
		First:  [2]powercut.Bytes{{powercut.System, powercut.One}, {}},
	}
	after := [2][]byte{bytes.Repeat([]byte{3}, 512), bytes.Repeat([]byte{2}, 512)}
	s.Boots = []powercut.Outcome{{Slot: "a", Record: s.Record}, {Slot: "b", Record: after}}
	disk, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if err := disk.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := prepare(disk, s, bytes.Repeat([]byte{7}, 512)); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 3)
	if _, err := disk.ReadAt(first, slotA); err != nil || !bytes.Equal(first, []byte{7, 0xff, 0}) {
		t.Errorf("slot a begins with %v: %v", first, err)
	}
	want := func(slot string, good bool) {
		t.Helper()
		problem, err := judge(disk, s, slot)
		if err != nil || (problem == "") != good || !good && !strings.Contains(problem, "the oracle expects; slot a") {
			t.Errorf("slot %s: %q, %v, want it good: %v", slot, problem, err, good)
		}
	}
	want("a", true)
	want("b", false)
	if _, err := disk.WriteAt(after[0], bootstate.Copy0); err != nil {
		t.Fatal(err)
	}
	want("a", false)
	want("b", true)
	if _, err := disk.WriteAt([]byte{9}, bootstate.Copy1+511); err != nil {
		t.Fatal(err)
	}
	want("b", false)
}
