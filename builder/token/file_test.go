package token

import (
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/fault"
)

// A token is made once, is kept for its owner alone, and comes back from the file; the default file
// is never taken for an earlier run's by accident.
func TestFile(t *testing.T) {
	t.Chdir(t.TempDir())
	made, name, err := File("")
	if err != nil || len(made) < 16 || name != DefaultFile {
		t.Fatalf("got %q in %q, %v, want a token in %s", made, name, err, DefaultFile)
	}
	info, err := os.Stat(DefaultFile)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	if again, _, err := File(""); fault.Code(err) != int(fault.Usage) {
		t.Errorf("the default file is there: got %q, %v, want a fault of kind Usage", again, err)
	}
	if again, _, err := File(DefaultFile); err != nil || again != made {
		t.Errorf("got %q, %v, want %q", again, err, made)
	}
	other, name, err := File("other")
	if err != nil || other == made || name != "other" {
		t.Errorf("got %q in %q, %v, want another token in other", other, name, err)
	}
	if err := os.WriteFile("empty", []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"empty", ".", filepath.Join("none", "token")} {
		if got, _, err := File(bad); fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %q, %v, want a fault of kind Input", bad, got, err)
		}
	}
}
