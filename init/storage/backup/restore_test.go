package backup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/snapshots"
)

// The backup that a new node made of its empty share is not restored unless its time is asked for;
// one with a file is.
func TestEmptyBackupIsNotRestored(t *testing.T) {
	j := &Job{Now: time.Now, Say: func(string, ...any) {}}
	v := Version{Share: "photos", Name: "@GMT-2026.11.30-10.00.00"}
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "photos")
	if err := os.Mkdir(filepath.Join(from, snapshots.Shown), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := j.bring(from, to, v, Wish{Share: "photos"}); fault.Code(err) != int(fault.Input) {
		t.Errorf("an empty backup, no time: %v", err)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("%s was made: %v", to, err)
	}
	if _, err := j.bring(from, to, v, Wish{Share: "photos", At: time.Now()}); err != nil {
		t.Errorf("an empty backup of a time that was asked for: %v", err)
	}
	if err := os.WriteFile(filepath.Join(from, "one"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := j.bring(from, to, v, Wish{Share: "photos"}); err != nil {
		t.Errorf("a backup with a file: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(to, "one")); string(got) != "1" {
		t.Errorf("got %q, want %q: %v", got, "1", err)
	}
}
