package blockcache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

func open(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, f *os.File) string {
	t.Helper()
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBlobIsVerified(t *testing.T) {
	c := open(t)
	sum, err := c.PutBlob(strings.NewReader("hello"))
	if err != nil || sum != sha256.Sum256([]byte("hello")) {
		t.Fatal(sum, err)
	}
	f, ok := c.Blob(sum)
	if !ok || read(t, f) != "hello" {
		t.Fatal("blob is not there")
	}
	name := c.path("blob", sum)
	if err := os.WriteFile(name, []byte("hellp"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Blob(sum); ok {
		t.Fatal("an altered blob was given out")
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Fatal("an altered blob was kept")
	}
}

func TestBlobProducerFailureLeavesNothing(t *testing.T) {
	c := open(t)
	boom := errors.New("boom")
	if _, err := c.PutBlob(io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) { return 0, boom }))); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	for _, sub := range []string{"tmp", "blob"} {
		if list, _ := os.ReadDir(filepath.Join(c.Dir(), sub)); len(list) != 0 {
			t.Fatalf("%s holds %v, want length 0", sub, list)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestPartialGoesOn(t *testing.T) {
	c := open(t)
	ctx := context.Background()
	sum := sha256.Sum256([]byte("one two"))
	p, err := c.Partial(ctx, sum)
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("one"))
	var m *Mismatch
	if err := p.Done(); !errors.As(err, &m) || m.Size != 3 {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err = c.Partial(ctx, sum); err != nil || p.Size() != 3 {
		t.Fatal(p.Size(), err)
	}
	p.Write([]byte(" two"))
	if err := p.Done(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if f, ok := c.Blob(sum); !ok || read(t, f) != "one two" {
		t.Fatal("blob is not there")
	}
	if list, _ := os.ReadDir(filepath.Join(c.Dir(), "partial")); len(list) != 0 {
		t.Fatalf("partial file left: got %v, want 0", len(list))
	}
}

func TestPartialResetAndExclusion(t *testing.T) {
	c := open(t)
	sum := sha256.Sum256([]byte("ab"))
	p, _ := c.Partial(context.Background(), sum)
	p.Write([]byte("garbage"))
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Millisecond)
	defer cancel()
	if _, err := c.Partial(ctx, sum); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("two writers at the same time:", err)
	}
	if err := p.Reset(); err != nil || p.Size() != 0 {
		t.Fatal(err)
	}
	p.Write([]byte("ab"))
	done := make(chan bool)
	go func() { // the second comes when the first has finished and finds a new, empty file
		q, err := c.Partial(context.Background(), sum)
		done <- err == nil && q.Size() == 0 && q.Close() == nil
	}()
	if err := p.Done(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if !<-done {
		t.Fatal("second writer")
	}
}

func TestDecodedOnceAndVerified(t *testing.T) {
	c := open(t)
	var runs atomic.Int32
	produce := func(w io.Writer) error {
		runs.Add(1)
		_, err := w.Write(bytes.Repeat([]byte("tar"), 1000))
		return err
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f, err := c.Decoded("k 1", produce)
			if err != nil {
				t.Error(err)
				return
			}
			f.Close()
		}()
	}
	wg.Wait()
	if runs.Load() != 1 {
		t.Fatalf("produced %d times, want 1", runs.Load())
	}
	f, _ := c.Decoded("k 1", produce)
	name := f.Name()
	f.Close()
	if err := os.Truncate(name, 10); err != nil {
		t.Fatal(err)
	}
	if f, err := c.Decoded("k 1", produce); err != nil || len(read(t, f)) != 3000 || runs.Load() != 2 {
		t.Fatal(err, runs.Load())
	}
	boom := errors.New("boom")
	if _, err := c.Decoded("k 2", func(w io.Writer) error { w.Write([]byte("x")); return boom }); err != boom {
		t.Fatalf("got %v, want %v", err, boom)
	}
	entry := c.path("decoded", sha256.Sum256([]byte("k 1"))) + ".sum"
	for _, bad := range []string{"", "zz", "00000000 -1\n", "gggggggg 3000\n", "00000000 3000\n"} {
		os.WriteFile(entry, []byte(bad), 0o644)
		if f, err := c.Decoded("k 1", produce); err != nil || len(read(t, f)) != 3000 {
			t.Fatalf("%q: %v", bad, err)
		}
	}
}

func TestBlocks(t *testing.T) {
	b := open(t).Blocks()
	key := [32]byte{1}
	if _, ok := b.Get(key); ok {
		t.Fatal("a block out of nothing")
	}
	b.Put(key, []byte("data"))
	if got, ok := b.Get(key); !ok || string(got) != "data" {
		t.Fatal(got, ok)
	}
	name := b.c.path("block", key)
	raw, _ := os.ReadFile(name)
	for _, bad := range [][]byte{nil, raw[:2], append(raw[:7:7], 'X')} {
		os.WriteFile(name, bad, 0o644)
		if _, ok := b.Get(key); ok {
			t.Fatalf("%q was given out", bad)
		}
		b.Put(key, []byte("data"))
	}
}

func TestOpenWhereNothingCanBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o644)
	_, err := Open(filepath.Join(file, "cache"))
	if fault.Code(err) != int(fault.Device) {
		t.Fatalf("got code %v, %v, want %v", fault.Code(err), err, int(fault.Device))
	}
}

func TestDefault(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/x/y")
	if d, err := Default(); err != nil || d != "/x/y/imgbuild" {
		t.Fatalf("got %q, %v, want %q", d, err, "/x/y/imgbuild")
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := Default(); fault.Code(err) != int(fault.Input) {
		t.Fatalf("got code %v, %v, want %v", fault.Code(err), err, int(fault.Input))
	}
}

func TestTrimKeepsWhatIsUsed(t *testing.T) {
	c := open(t)
	age := func(name string, d time.Duration) {
		t.Helper()
		at := time.Now().Add(-d)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	var sums [4][32]byte
	for i := range sums {
		sums[i], _ = c.PutBlob(bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 1000)))
		age(c.path("blob", sums[i]), time.Duration(10-i)*time.Hour)
	}
	f, err := c.Decoded("k", func(w io.Writer) error { _, err := w.Write(make([]byte, 500)); return err })
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	age(f.Name(), 20*time.Hour)
	p, _ := c.Partial(context.Background(), sha256.Sum256([]byte("x")))
	p.Write([]byte("abc"))
	p.Close()
	age(p.f.Name(), 31*24*time.Hour)
	if !c.Has(sums[0], 1000) { // that is a use: it is the youngest now
		t.Fatal("blob 0")
	}
	freed, err := c.Trim(2000)
	if err != nil || freed != 3+500+2000 {
		t.Fatalf("got %v, %v, want %v", freed, err, 3+500+2000)
	}
	for i, want := range []bool{true, false, false, true} {
		if c.Has(sums[i], 1000) != want {
			t.Errorf("blob %d", i)
		}
	}
	if freed, err := c.Trim(0); err != nil || freed != 0 {
		t.Error("files of the last hour are gone:", freed, err)
	}
	if list, _ := filepath.Glob(filepath.Join(c.Dir(), "*", "*", "*.sum")); len(list) != 0 {
		t.Errorf("%v, want length 0", list)
	}
}

// The cache is looked at whole once an hour.
func TestTrimDue(t *testing.T) {
	c, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * fresh)
	put := func() string {
		sum, err := c.PutBlob(strings.NewReader("package"))
		if err != nil {
			t.Fatal(err)
		}
		name := c.path("blob", sum)
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
		return name
	}
	gone := func(name string) bool {
		if err := c.TrimDue(0); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(name)
		return errors.Is(err, fs.ErrNotExist)
	}
	if !gone(put()) {
		t.Error("the first time nothing is removed")
	}
	if gone(put()) {
		t.Error("the second time in an hour the cache is looked at")
	}
	if err := os.Chtimes(filepath.Join(c.dir, "trimmed"), old, old); err != nil {
		t.Fatal(err)
	}
	if !gone(put()) {
		t.Error("an hour later nothing is removed")
	}
}

// A note is there whole, or not at all.
func TestNote(t *testing.T) {
	c := open(t)
	if _, ok := c.Note("a"); ok {
		t.Error("there is a note that nobody wrote")
	}
	for _, text := range []string{"first", "second"} {
		if err := c.PutNote("a", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Note("a"); !ok || string(got) != text {
			t.Errorf("got %q, %v, want %q", got, ok, text)
		}
	}
	if _, ok := c.Note("b"); ok {
		t.Error("another key has the note")
	}
	name := c.path("decoded", sha256.Sum256([]byte("note a")))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	for _, bad := range [][]byte{data, data[:10], nil} {
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Note("a"); ok {
			t.Errorf("a damaged note gives %q", got)
		}
	}
}
