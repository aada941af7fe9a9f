package supervise

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// torrent is a unit that writes as fast as it is read, until its time is over.
type torrent struct {
	until time.Time
	line  string
	read  int64
}

func (t *torrent) Read(p []byte) (int, error) {
	if !time.Now().Before(t.until) {
		return 0, io.EOF
	}
	n := copy(p, bytes.Repeat([]byte(t.line), len(p)/len(t.line)))
	t.read += int64(n)
	return n, nil
}

// A flood is read at a bounded rate, costs a bounded log file and bounded memory, whatever its
// lines are like. Time is the test's own: two minutes of flood take none.
func TestFlood(t *testing.T) {
	for name, line := range map[string]string{"lines": strings.Repeat("x", 99) + "\n", "empty lines": "\n", "no line": "x"} {
		synctest.Test(t, func(t *testing.T) {
			l, path, _ := testLog(t, DefaultLogLimits)
			l.now = time.Now
			l.filled = time.Now()
			const seconds = 120
			r := &torrent{until: time.Now().Add(seconds * time.Second), line: line}
			pump(l, r)
			if most := int64(pumpBurst + seconds*pumpRate + 1<<20); r.read > most {
				t.Errorf("%s: %d bytes were read in two minutes, at most %d are right", name, r.read, most)
			}
			l.Close()
			var files int64
			for _, suffix := range []string{"", ".1", ".2", ".3", ".4"} {
				files += fileSize(path + suffix)
			}
			lim := DefaultLogLimits
			if most := lim.Size * int64(lim.Keep+1); files > most || files == 0 {
				t.Errorf("%s: the files have %d bytes, at most %d are right", name, files, most)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			if held := cap(l.ring) + cap(l.batch) + cap(l.part) + cap(l.scratch); held > 1<<20 {
				t.Errorf("%s: %d bytes of memory are held", name, held)
			}
		})
	}
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// An ordinary service's output is not held up.
func TestPumpIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, _ := testLog(t, wide)
		began := time.Now()
		pump(l, strings.NewReader(strings.Repeat("a line of k3s\n", 20000)))
		if d := time.Since(began); d != 0 {
			t.Errorf("took %s, want 0", d)
		}
		if !bytes.HasSuffix(l.Tail(0), []byte(" a line of k3s\n")) {
			t.Error("the last line is missing")
		}
	})
}

// A batch that the disk refused is counted with the next that it takes.
func TestLostLinesAreCounted(t *testing.T) {
	l, path, _ := testLog(t, wide)
	l.path = "/proc/nowhere/x.log"
	_, _ = io.WriteString(l, "one\ntwo\n")
	l.Flush()
	l.path = path
	_, _ = io.WriteString(l, "three\n")
	l.Close()
	if got := read(t, path); !strings.Contains(got, "[shelf] 2 lines left out here") || !strings.Contains(got, " three\n") {
		t.Errorf("%s", got)
	}
}
