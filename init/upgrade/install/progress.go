package install

import (
	"time"

	"imgbuild/init/contract/dialogue"
)

// Phases of the progress.
const (
	PhaseWrite = "write"
	PhaseRead  = "read back"
	PhaseK3s   = "k3s"
)

// meter makes progress out of numbers of bytes: at most one message a second, and one at the end
// of a phase.
type meter struct {
	phase string
	send  func(dialogue.Progress)
	now   func() time.Time

	began, reported time.Time
	first           int64 // bytes at the first call: they cost no time
}

func newMeter(phase string, send func(dialogue.Progress), now func() time.Time) *meter {
	return &meter{phase: phase, send: send, now: now, first: -1}
}

func (m *meter) report(done, total int64) {
	now := m.now()
	if m.first < 0 {
		m.first, m.began, m.reported = done, now, now
	}
	if m.send == nil || done < total && now.Sub(m.reported) < time.Second {
		return
	}
	m.reported = now
	p := dialogue.Progress{Phase: m.phase, Done: done, Total: total}
	if took := now.Sub(m.began).Seconds(); took > 0 && done > m.first {
		p.Rate = float64(done-m.first) / took
		p.Left = float64(total-done) / p.Rate
	}
	m.send(p)
}
