package damage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shelf", "damage.json")
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	known := func(b *Book, other string, wantHere, wantThere int) {
		t.Helper()
		if here, there, _, _ := b.Known(other, now); here != wantHere || there != wantThere {
			t.Fatalf("got %d and %d, want %d and %d", here, there, wantHere, wantThere)
		}
	}
	b := &Book{}
	// Before the data partition is there.
	if counts, err := b.Add("7", now); !counts || err != nil {
		t.Fatal(counts, err)
	}
	if counts, err := b.Add("7", now.Add(time.Second)); counts || err != nil {
		t.Fatalf("one access counts twice: %v, %v", counts, err)
	}
	if err := b.Open(path, "a", "v1"); err != nil {
		t.Fatal(err)
	}
	known(b, "b", 1, 0)
	// A boot later: the same block, and it counts.
	b = &Book{}
	if err := b.Open(path, "a", "v1"); err != nil {
		t.Fatal(err)
	}
	known(b, "b", 1, 0)
	for i := range 100 { // bounded, whatever the card does
		if counts, err := b.Add(fmt.Sprint(i), now); !counts || err != nil {
			t.Fatal(counts, err)
		}
	}
	known(b, "b", 2, 0)
	if st, err := os.Stat(path); err != nil || st.Size() > 1000 {
		t.Errorf("got %v, %v", st, err)
	}
	if err := b.Rebooting(now); err != nil {
		t.Fatal(err)
	}
	// The other system knows of it.
	b = &Book{}
	if err := b.Open(path, "b", "v2"); err != nil {
		t.Fatal(err)
	}
	known(b, "a", 0, 2)
	if _, _, since, ever := b.Known("a", now.Add(20*time.Minute)); !ever || since != 20*time.Minute {
		t.Errorf("rebooted %v ago, %v", since, ever)
	}
	if err := b.Forget("a"); err != nil {
		t.Fatal(err)
	}
	known(b, "a", 0, 0)
	// Another system in the slot starts with none; a file that cannot be read costs what was known.
	if _, err := b.Add("9", now); err != nil {
		t.Fatal(err)
	}
	b = &Book{}
	if err := b.Open(path, "b", "v3"); err != nil {
		t.Fatal(err)
	}
	known(b, "a", 0, 0)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Open(path, "b", "v2"); err == nil {
		t.Error("a damaged file is not an error")
	}
	known(b, "a", 0, 0)
	if err := (&Book{}).Rebooting(now); err == nil {
		t.Error("a reboot that cannot be noted may come again and again")
	}
}
