package main

import (
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/fault"
)

// The identity is readable for its owner alone, and one that is there is never replaced.
func TestKeygenBackup(t *testing.T) {
	silence(t)
	file := filepath.Join(t.TempDir(), "new", "identity")
	if err := dispatch(t.Context(), []string{"keygen", "backup", "key=" + file}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backupkey.Parse(string(text)); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", st, err)
	}
	if err := dispatch(t.Context(), []string{"keygen", "backup", "key=" + file}); fault.Code(err) != int(fault.Input) {
		t.Errorf("a second time: got %v, want an input error", err)
	}
	if again, err := os.ReadFile(file); err != nil || string(again) != string(text) {
		t.Errorf("the file was changed: %v", err)
	}
	if err := dispatch(t.Context(), []string{"keygen", "other"}); fault.Code(err) != int(fault.Usage) {
		t.Errorf("another word: got %v, want a usage error", err)
	}
}
