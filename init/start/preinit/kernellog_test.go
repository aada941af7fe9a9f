package preinit

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKernelLog(t *testing.T) {
	proc := t.TempDir()
	if err := kernelLog(nil, proc); err != nil {
		t.Errorf("a kernel without the setting: %v", err)
	}
	file := filepath.Join(proc, "sys/kernel/printk_devkmsg")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for cmdline, want := range map[string]string{"quiet": "on\n", "printk.devkmsg=ratelimit": "as it was"} {
		if err := os.WriteFile(file, []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := kernelLog(ParseCmdline(cmdline), proc); err != nil {
			t.Errorf("%s: %v", cmdline, err)
		}
		if got, _ := os.ReadFile(file); string(got) != want {
			t.Errorf("%s: got %q, want %q", cmdline, got, want)
		}
	}
}
