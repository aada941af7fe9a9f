package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOrder(t *testing.T) {
	dep := filepath.Join(t.TempDir(), "modules.dep")
	lines := "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko kernel/lib/crc16.ko\nkernel/lib/crc16.ko:\nkernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko\n"
	if err := os.WriteFile(dep, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := order(dep, "crc16", "ext4")
	if want := "kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/fs/ext4/ext4.ko"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := order(dep, "xfs"); err == nil {
		t.Error("a module that is not there is in order")
	}
}

func TestMedian(t *testing.T) {
	if got := median([]time.Duration{5, 1, 3}); got != 3 {
		t.Errorf("%v", got)
	}
}

func TestWords(t *testing.T) {
	for _, part := range []string{"build", "boot", "node"} {
		if o, err := command.Parse([]string{"only=" + part, "n=3"}); err != nil || o.Only != part || o.N != 3 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if _, err := command.Parse([]string{"only=nodes"}); err == nil {
		t.Error("there is no such part")
	}
}
