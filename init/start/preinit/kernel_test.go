package preinit

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKernelSettings(t *testing.T) {
	for _, k := range kernelSettings {
		root := t.TempDir()
		if err := k.set(nil, root); err != nil {
			t.Errorf("%s: a kernel without it: %v", k.file, err)
		}
		file := filepath.Join(root, k.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		for cmdline, want := range map[string]string{"quiet": k.value, k.parameter + "=other": "as it was"} {
			if err := os.WriteFile(file, []byte("as it was"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := k.set(ParseCmdline(cmdline), root); err != nil {
				t.Errorf("%s: %v", cmdline, err)
			}
			if got, _ := os.ReadFile(file); string(got) != want {
				t.Errorf("%s, %s: got %q, want %q", k.file, cmdline, got, want)
			}
		}
	}
}
