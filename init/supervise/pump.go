package supervise

import (
	"bytes"
	"io"
	"time"
)

// A unit that floods its log must not keep PID 1 busy. Output beyond a burst is read at a rate that
// costs a slow board about one per cent of one core; the unit waits in its write meanwhile, as at a
// slow terminal. A line is counted with what stamping and storing it takes.
const (
	pumpBurst = 2 << 20   // bytes
	pumpRate  = 256 << 10 // bytes a second
	lineCost  = 64
)

// pump copies from r to l until r ends.
func pump(l *Log, r io.Reader) {
	buf := make([]byte, 16<<10)
	budget, at := float64(pumpBurst), time.Now()
	for {
		n, err := r.Read(buf)
		_, _ = l.Write(buf[:n])
		if err != nil {
			return
		}
		now := time.Now()
		budget = min(pumpBurst, budget+now.Sub(at).Seconds()*pumpRate) - float64(n+lineCost*bytes.Count(buf[:n], []byte{'\n'}))
		if at = now; budget < 0 {
			time.Sleep(time.Duration(-budget / pumpRate * float64(time.Second)))
		}
	}
}
