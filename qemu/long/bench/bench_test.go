package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	for _, part := range []string{"build", "boot", "node", "upgrade"} {
		if o, err := words.Parse([]string{"only=" + part, "n=3"}); err != nil || o.Only != part || o.N != 3 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	if _, err := words.Parse([]string{"only=nodes"}); err == nil {
		t.Error("there is no such part")
	}
}

// The chunks of a stream that got something at its beginning are those of before, after the change.
func TestChunks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	list := func(b []byte) (sizes []int, all map[string]bool) {
		all = map[string]bool{}
		var whole []byte
		if err := cut(bytes.NewReader(b), func(c []byte) {
			sizes = append(sizes, len(c))
			all[string(c)] = true
			whole = append(whole, c...)
		}); err != nil || !bytes.Equal(whole, b) {
			t.Errorf("the chunks are not the stream: %v", err)
		}
		return sizes, all
	}
	sizes, before := list(data)
	if mean := len(data) / len(sizes); mean < 12<<10 || mean > 24<<10 || slices.Max(sizes) > chunkMax {
		t.Errorf("%d chunks, %d bytes on average, at most %d", len(sizes), mean, slices.Max(sizes))
	}
	_, after := list(append([]byte("something new"), data...))
	n := 0
	for c := range after {
		if !before[c] {
			n++
		}
	}
	if n > 3 {
		t.Errorf("%d chunks changed", n)
	}
}
