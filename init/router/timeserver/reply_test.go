package timeserver

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/beevik/ntp"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// The shelf gets a time that was right once since the node started, or that of a battery, or any
// after ten minutes; how good it is is said.
func TestJudge(t *testing.T) {
	good := Facts{Up: time.Minute, Synced: true, Source: true, Level: 2, Error: 20 * time.Millisecond, Asked: now.Add(-1000 * time.Second)}
	for _, c := range []struct {
		name    string
		change  func(f *Facts)
		stratum uint8
		off     time.Duration
	}{
		{"a server answers", func(*Facts) {}, 3, 35 * time.Millisecond},
		{"a server that is one by itself", func(f *Facts) { f.Level = 1 }, 2, 35 * time.Millisecond},
		{"nobody answers any more", func(f *Facts) { f.Source = false }, 10, 35 * time.Millisecond},
		{"a server that guesses", func(f *Facts) { f.Level = 10 }, 11, 35 * time.Millisecond},
		{"a server at the end", func(f *Facts) { f.Level = 15 }, 10, 35 * time.Millisecond},
		{"never, just started", func(f *Facts) { *f = Facts{Up: time.Minute} }, 0, 0},
		{"never, with a battery", func(f *Facts) { *f = Facts{Up: time.Minute, Battery: true} }, 10, time.Second},
		{"never, for ten minutes", func(f *Facts) { *f = Facts{Up: patient} }, 10, time.Second},
	} {
		f := good
		c.change(&f)
		if q := Judge(f, now); q.Stratum != c.stratum || q.Dispersion != c.off {
			t.Errorf("%s: got %+v, want stratum %d and %v", c.name, q, c.stratum, c.off)
		}
	}
	if q := Judge(good, good.Asked.Add(-time.Hour)); q.Dispersion != good.Error {
		t.Errorf("a clock that went back: got %+v", q)
	}
}

// A client of another author takes the answers, with the time and what is said of it.
func TestServe(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts Facts
		good  bool
		level uint8
	}{
		{"good", Facts{Synced: true, Source: true, Level: 2, Asked: time.Now()}, true, 3},
		{"local", Facts{Battery: true}, true, 10},
		{"none", Facts{}, false, 0},
	} {
		l, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- serve(ctx, l, func() (Facts, error) { return c.facts, nil }) }()
		r, err := ntp.Query(l.LocalAddr().String())
		stop()
		if end := <-ended; !errors.Is(end, context.Canceled) {
			t.Errorf("%s: ended with %v", c.name, end)
		}
		if !c.good {
			if err == nil && r.Validate() == nil {
				t.Errorf("%s: got a time of stratum %d", c.name, r.Stratum)
			}
			continue
		}
		if err != nil || r.Validate() != nil || r.Stratum != c.level || r.ClockOffset.Abs() > time.Second {
			t.Errorf("%s: got %+v, %v", c.name, r, err)
		}
	}
}

// Answers are for questions, and never longer.
func FuzzReply(f *testing.F) {
	f.Add([]byte{0x23, 47: 0})
	f.Add([]byte{0x24, 47: 0})
	f.Add([]byte{0x1b, 99: 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		b, ok := Reply(p, Quality{10, time.Second, now}, now, func() time.Time { return now })
		if !ok {
			return
		}
		if len(b) > len(p) || b[0]&7 != 4 || p[0]&7 != 3 || b[0]&0x38 != p[0]&0x38 || !bytes.Equal(b[24:32], p[40:48]) {
			t.Errorf("%x: got %x", p, b)
		}
		if _, again := Reply(b, Quality{}, now, time.Now); again {
			t.Errorf("%x is a question itself: two servers would go on for ever", b)
		}
	})
}
