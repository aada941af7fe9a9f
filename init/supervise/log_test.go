package supervise

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testLog is a log with small limits and a clock that the test moves.
func testLog(t *testing.T, lim LogLimits) (*Log, string, *time.Time) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "when needed")
	now := time.Date(2026, 11, 22, 17, 0, 0, 5e6, time.UTC)
	l := NewLog(dir, "x", lim)
	l.now = func() time.Time { return now }
	l.filled = now
	return l, filepath.Join(dir, "x.log"), &now
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var wide = LogLimits{Ring: 1 << 16, Size: 1 << 20, Keep: 2, Every: time.Hour, Batch: 1 << 16, Burst: 1 << 30}

func TestLogLines(t *testing.T) {
	l, path, now := testLog(t, wide)
	fmt.Fprint(l, "one\r\ntw")
	*now = now.Add(1500 * time.Millisecond)
	fmt.Fprint(l, "o\n\nunfinished")
	l.Printf("ended: %s", "exit status 1")
	if _, err := os.Stat(path); err == nil {
		t.Error("written before its time")
	}
	l.Close()
	want := "2026-11-22T17:00:00.005Z one\n2026-11-22T17:00:01.505Z two\n2026-11-22T17:00:01.505Z \n" +
		"2026-11-22T17:00:01.505Z unfinished\n2026-11-22T17:00:01.505Z [shelf] ended: exit status 1\n"
	if got := read(t, path); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := string(l.Tail(0)); got != want {
		t.Errorf("ring\n%s", got)
	}
	if got := string(l.Tail(60)); got != "2026-11-22T17:00:01.505Z [shelf] ended: exit status 1\n" {
		t.Errorf("tail %q", got)
	}
	l.Close()
	if got := read(t, path); got != want {
		t.Errorf("closing twice changed\n%s", got)
	}
}

// A line without an end is cut; every byte of it is kept, however it is chopped.
func TestLogEndlessLine(t *testing.T) {
	l, path, _ := testLog(t, wide)
	in := strings.Repeat("0123456789", 2*lineLimit/10+3)
	for i := 0; i < len(in); i += 777 {
		_, _ = io.WriteString(l, in[i:min(len(in), i+777)])
	}
	l.Close()
	lines := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	var out strings.Builder
	for _, line := range lines {
		_, text, _ := strings.Cut(line, " ")
		out.WriteString(text)
	}
	if len(lines) != 3 || out.String() != in {
		t.Errorf("%d lines, %d of %d bytes: got %v, want 3 and %v", len(lines), out.Len(), len(in), out.String(), in)
	}
}

func TestLogRotation(t *testing.T) {
	lim := wide
	lim.Size, lim.Batch = 1000, 200
	l, path, _ := testLog(t, lim)
	for i := range 200 {
		fmt.Fprintf(l, "line %03d\n", i)
	}
	l.Close()
	var all string
	for _, p := range []string{path + ".2", path + ".1", path} {
		s := read(t, p)
		if len(s) > 1000 || !strings.HasSuffix(s, "\n") {
			t.Errorf("%s: %d bytes", p, len(s))
		}
		all += s
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("more old files than asked for")
	}
	// What is kept is the end, without a gap.
	numbers := regexp.MustCompile(`line (\d+)`).FindAllStringSubmatch(all, -1)
	for i, m := range numbers {
		if want := fmt.Sprintf("%03d", 200-len(numbers)+i); m[1] != want {
			t.Fatalf("line %s where %s should be", m[1], want)
		}
	}
	if len(numbers) < 40 {
		t.Errorf("only %d lines kept", len(numbers))
	}
}

// A flood reaches the medium only up to its budget, notes how much is missing, and the ring has the
// newest all the same.
func TestLogFlood(t *testing.T) {
	lim := wide
	lim.Batch, lim.Burst, lim.Rate, lim.Ring = 1000, 10_000, 100, 2000
	l, path, now := testLog(t, lim)
	for i := range 10_000 {
		fmt.Fprintf(l, "flood %05d\n", i)
	}
	l.Flush()
	if n := len(read(t, path)); n > 10_000 || n < 9_000 {
		t.Errorf("%d bytes written of a budget of 10000", n)
	}
	if tail := string(l.Tail(0)); len(tail) > 2000 || !strings.HasSuffix(tail, "flood 09999\n") || strings.Count(tail, "\n") != 2000/37 {
		t.Errorf("ring %d bytes", len(tail))
	}
	*now = now.Add(time.Minute)
	fmt.Fprintln(l, "calm again")
	l.Flush()
	got := read(t, path)
	if !strings.HasSuffix(got, " calm again\n") {
		t.Errorf("ends with %q", got[len(got)-200:])
	}
	total := strings.Count(got, " flood ")
	for _, m := range regexp.MustCompile(`\[shelf\] (\d+) lines left out here to spare the medium`).FindAllStringSubmatch(got, -1) {
		n, _ := strconv.Atoi(m[1])
		total += n
	}
	if total != 10_000 {
		t.Errorf("%d lines written or reported, of 10000, want %v", total, 10_000)
	}
}

// A medium that cannot be written costs the file's lines, nothing else.
func TestLogWithoutMedium(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := NewLog(dir, "x", wide)
	fmt.Fprintln(l, "hello")
	l.Flush()
	if !strings.HasSuffix(string(l.Tail(0)), " hello\n") {
		t.Error("the ring lost it")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "back")
	l.Close()
	if got := read(t, filepath.Join(dir, "x.log")); !strings.Contains(got, "1 lines left out") || !strings.HasSuffix(got, " back\n") {
		t.Errorf("got %q", got)
	}
}

// On a full medium lines are lost and counted, and nothing half-written stays: /dev/full takes no
// byte.
func TestLogOnAFullMedium(t *testing.T) {
	l, path, _ := testLog(t, wide)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		fmt.Fprintln(l, "line", i)
		l.Flush()
	}
	if !strings.HasSuffix(string(l.Tail(0)), " line 2\n") {
		t.Error("the ring lost it")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(l, "space again")
	l.Close()
	if got := read(t, path); !strings.Contains(got, " [shelf] 3 lines left out here") || strings.Contains(got, "line 2") || !strings.HasSuffix(got, " space again\n") {
		t.Errorf("got %q", got)
	}
}

func TestLogBatchTimer(t *testing.T) {
	lim := wide
	lim.Every = time.Millisecond
	l, path, _ := testLog(t, lim)
	fmt.Fprintln(l, "soon")
	eventually(t, "the batch is written by itself", func() bool { data, _ := os.ReadFile(path); return bytes.HasSuffix(data, []byte(" soon\n")) })
}

func TestLogFollow(t *testing.T) {
	l := NewLog("", "x", wide)
	fmt.Fprintln(l, "before")
	ctx, cancel := context.WithCancel(t.Context())
	c := l.Follow(ctx)
	fmt.Fprintln(l, "now")
	if line := <-c; !strings.HasSuffix(string(line), " now\n") {
		t.Errorf("got %q", line)
	}
	for range 1000 { // nobody reads: the writer must not stop
		fmt.Fprintln(l, "flood")
	}
	cancel()
	n := 0
	for range c {
		n++
	}
	if n > 64 {
		t.Errorf("%d lines were kept for a reader", n)
	}
	fmt.Fprintln(l, "after")
}
