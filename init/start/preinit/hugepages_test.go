package preinit

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHugePages(t *testing.T) {
	sys := t.TempDir()
	if err := hugePages(nil, sys); err != nil {
		t.Errorf("a kernel without them: %v", err)
	}
	file := filepath.Join(sys, "kernel/mm/transparent_hugepage/enabled")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for cmdline, want := range map[string]string{"quiet": "madvise", "transparent_hugepage=always": "as it was"} {
		if err := os.WriteFile(file, []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := hugePages(ParseCmdline(cmdline), sys); err != nil {
			t.Errorf("%s: %v", cmdline, err)
		}
		if got, _ := os.ReadFile(file); string(got) != want {
			t.Errorf("%s: got %q, want %q", cmdline, got, want)
		}
	}
}
