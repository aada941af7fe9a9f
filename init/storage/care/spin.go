package care

import (
	"strconv"
	"strings"
	"time"
)

// Spin decides when a disk that nobody uses is stopped. The zero value has seen nothing yet.
type Spin struct {
	begun   bool
	count   uint64        // of requests
	since   time.Duration // when the count was first so
	stopped bool
}

// Look takes the count of a disk's requests at a moment, by a clock that is never set, and reports
// whether to stop it now: it had no request for as long as limit.
func (s *Spin) Look(count uint64, now, limit time.Duration) bool {
	if !s.begun || count != s.count {
		*s = Spin{begun: true, count: count, since: now}
		return false
	}
	if s.stopped || now-s.since < limit {
		return false
	}
	s.stopped = true
	return true
}

// Stopped reports whether it was stopped and had no request since.
func (s *Spin) Stopped() bool { return s.stopped }

// requests reads the count of reads and writes from a disk's file stat
// (Documentation/block/stat.rst of Linux).
func requests(stat string) (uint64, bool) {
	f := strings.Fields(stat)
	if len(f) < 8 {
		return 0, false
	}
	r, err := strconv.ParseUint(f[0], 10, 64)
	w, err2 := strconv.ParseUint(f[4], 10, 64)
	return r + w, err == nil && err2 == nil
}
