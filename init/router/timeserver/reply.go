// Package timeserver answers the shelf's questions for the time (NTP, RFC 5905, server mode alone).
// PID 1 keeps the clock; this passes it on, with how good it is.
package timeserver

import (
	"encoding/binary"
	"time"
)

// Facts are what is known about the node's clock.
type Facts struct {
	Up      time.Duration // since the node started
	Synced  bool          // a server has given the time since then
	Source  bool          // it still does
	Level   uint8         // its stratum
	Error   time.Duration // how far the clock may have been off then, at most
	Asked   time.Time     // of that
	Battery bool          // the clock was read from one that has a battery
}

// Times and levels by which a clock is judged.
const (
	local   = 10               // the stratum of a clock that nobody corrects, as nodes know it
	patient = 10 * time.Minute // until the shelf gets a time from a clock that was never right
	worst   = 15
	drift   = 15e-6 // of a clock that nobody corrects, RFC 5905
)

// Quality is how good the clock is, as an answer has it.
type Quality struct {
	Stratum    uint8         // 0: there is no time
	Dispersion time.Duration // how far it may be off
	Reference  time.Time     // when it was right last
}

// Judge returns what may be said about the clock. Without uplink the shelf is better off with one
// common time than with none, but not with that of a clock that may be years off and is corrected
// soon.
func Judge(f Facts, now time.Time) Quality {
	age := max(0, now.Sub(f.Asked))
	q := Quality{Dispersion: f.Error + time.Duration(drift*float64(age)), Reference: f.Asked}
	switch {
	case f.Synced && f.Source && f.Level < worst-1:
		q.Stratum = max(2, f.Level+1)
	case f.Synced:
		q.Stratum = local
	case f.Battery || f.Up >= patient:
		q = Quality{local, time.Second, now}
	default:
		return Quality{}
	}
	return q
}

const (
	packet = 48
	era    = 2208988800 // seconds from 1900 to 1970
)

// Reply answers a client's packet that came at received; false for what is no question. The answer
// is never longer than the question.
func Reply(p []byte, q Quality, received time.Time, send func() time.Time) ([]byte, bool) {
	if len(p) < packet || p[0]&7 != 3 || p[0]>>3&7 < 1 || p[0]>>3&7 > 4 {
		return nil, false
	}
	b := make([]byte, packet)
	leap := byte(0)
	if q.Stratum == 0 {
		leap = 3
	}
	b[0] = leap<<6 | p[0]&0x38 | 4
	b[1], b[2] = q.Stratum, p[2]
	b[3] = 0xec                                                                               // 2^-20 s
	binary.BigEndian.PutUint32(b[8:], uint32(min(q.Dispersion, time.Hour)*65536/time.Second)) // of the root
	switch {
	case q.Stratum == 0:
		copy(b[12:], "INIT")
	case q.Stratum >= local:
		copy(b[12:], []byte{127, 127, 1, 1}) // as others name a clock that nobody corrects
	default:
		copy(b[12:], []byte{127, 0, 0, 1}) // whom PID 1 asks changes
	}
	stamp(b[16:], q.Reference)
	copy(b[24:], p[40:48])
	stamp(b[32:], received)
	stamp(b[40:], send())
	return b, true
}

// stamp writes a time as NTP does: seconds since 1900, and their 2^32th parts.
func stamp(b []byte, t time.Time) {
	if t.IsZero() {
		return
	}
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+era))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}
