package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
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

func TestTurn(t *testing.T) {
	list := []int{1, 2, 3}
	for i, want := range [][]int{{1, 2, 3}, {3, 2, 1}, {1, 2, 3}} {
		if got := turn(list, i); !slices.Equal(got, want) {
			t.Errorf("round %d: got %v, want %v", i, got, want)
		}
	}
}

// The other side is what the commit builds, not what is in the directory now.
func TestOther(t *testing.T) {
	repository := t.TempDir()
	git := func(words ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", repository, "-c", "user.name=a", "-c", "user.email=a@localhost"}, words...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", words, err, out)
		}
	}
	git("init", "-q")
	for _, name := range []string{"old", "new"} {
		text := "bin/imgbuild:\n\tmkdir -p bin && echo " + name + " > $@\n"
		if err := os.WriteFile(filepath.Join(repository, "Makefile"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", "Makefile")
		git("commit", "-q", "-m", name)
	}
	b := &bench{dir: t.TempDir()}
	v, err := b.other(t.Context(), repository, "HEAD~1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(v.program); err != nil || string(got) != "old\n" || len(v.name) != 7 {
		t.Errorf("got %q %v by %q, want the old commit's program by seven digits", got, err, v.name)
	}
	if _, err := b.other(t.Context(), repository, "none"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a commit that is not there: got %v, want a usage error", err)
	}
	if _, err := b.other(t.Context(), repository, "--output=x"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("an option: got %v, want a usage error", err)
	}
}

func TestAgainst(t *testing.T) {
	for _, given := range [][]string{{"against=HEAD"}, {"against=HEAD", "only=node"}} {
		if err := words.Run(t.Context(), given, io.Discard); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%q: got %v, want a usage error", given, err)
		}
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

func TestPeak(t *testing.T) {
	if got, err := peak([]byte("Name:\tbench\nVmPeak:\t  900000 kB\nVmHWM:\t   36108 kB\nVmRSS:\t 3 kB\n")); got != 36108<<10 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := peak([]byte("Name:\tbench\n")); err == nil {
		t.Errorf("got %d without the line", got)
	}
}
