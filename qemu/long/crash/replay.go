package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"imgbuild/qemu/vm"
)

// Cut is a moment at which the power goes.
type Cut struct {
	Number int    `json:"cut"`
	Entry  int    `json:"entry"` // what is over by then: the entries before this one
	Way    string `json:"way"`   // what became of the writes that no flush had made durable
	Lying  bool   `json:"lying"` // control: the disk lost writes that it had called durable
	seed   uint64
}

// ways are what a disk may do with what it holds in its cache when the power goes.
var ways = []string{"nothing", "everything", "some", "torn"}

// lost is how many flushes the disk of a control has reported and lost.
const lost = 60

// Cuts spreads n moments over the log from entry first on, one in each of n equal parts, so that
// every phase has its share. The same seed gives the same moments.
func Cuts(seed uint64, n, first, entries int) []Cut {
	var cuts []Cut
	for i := range n {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		from, to := first+(entries-first)*i/n, first+(entries-first)*(i+1)/n
		c := Cut{Number: i, Entry: from, Way: ways[random.IntN(len(ways))], seed: random.Uint64()}
		if to > from {
			c.Entry += random.IntN(to - from)
		}
		cuts = append(cuts, c)
	}
	return cuts
}

// Replayer makes the disk as it was after so many entries. It only goes forward.
type Replayer struct {
	log     *os.File
	entries []Entry
	disk    *os.File // what is durable
	done    int
}

// NewReplayer begins with a copy of the image that the recorded disk began with.
func NewReplayer(image, log string, entries []Entry, path string, size int64) (*Replayer, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err := vm.Copy(path, image, size); err != nil {
		return nil, err
	}
	l, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	d, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Replayer{log: l, entries: entries, disk: d}, nil
}

// Close closes its files.
func (r *Replayer) Close() {
	r.log.Close()
	r.disk.Close()
}

// State writes the disk as the power cut leaves it to path: all that was durable, and of the rest
// what the cut selects. Cuts come in ascending order of entries.
func (r *Replayer) State(c Cut, path string) error {
	durable := r.durable(c)
	if durable < r.done {
		return fmt.Errorf("cut %d is before the one before", c.Number)
	}
	for ; r.done < durable; r.done++ {
		if err := r.apply(r.disk, r.entries[r.done], nil); err != nil {
			return err
		}
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := vm.Copy(path, r.disk.Name(), 0); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	random := rand.New(rand.NewPCG(c.seed, 2))
	for _, e := range r.entries[durable:c.Entry] {
		keep := func(int) bool { return true }
		switch {
		case e.FUA && !c.Lying, c.Way == "everything":
		case c.Way == "nothing":
			continue
		case c.Way == "some":
			if random.IntN(2) == 0 {
				continue
			}
		default: // torn: each sector for itself
			keep = func(int) bool { return random.IntN(2) == 0 }
		}
		if err := r.apply(out, e, keep); err != nil {
			return err
		}
	}
	return nil
}

// durable is the number of entries that are on the medium for sure: those before the last flush; a
// lying disk's are those before a flush long ago.
func (r *Replayer) durable(c Cut) int {
	flushes := 0
	for i := c.Entry - 1; i >= 0; i-- {
		if r.entries[i].Flush {
			if flushes++; !c.Lying || flushes > lost {
				return i
			}
		}
	}
	return 0
}

// apply writes those 512-byte sectors of an entry that keep wants; nil wants all.
func (r *Replayer) apply(out io.WriterAt, e Entry, keep func(sector int) bool) error {
	data := make([]byte, e.Size)
	if _, err := r.log.ReadAt(data, e.At); err != nil && e.Size > 0 {
		return fmt.Errorf("write log at %d: %w", e.At, err)
	}
	if keep == nil {
		_, err := out.WriteAt(data, e.Offset)
		return err
	}
	for i := 0; i < len(data); i += 512 {
		if !keep(i / 512) {
			continue
		}
		if _, err := out.WriteAt(data[i:min(i+512, len(data))], e.Offset+int64(i)); err != nil {
			return err
		}
	}
	return nil
}

// Areas counts how many bytes the log writes to which parts of the disk, and names the first write
// that goes where nothing may be written; place returns the name of a sector's part, or "".
func Areas(entries []Entry, place func(offset int64) string) (areas map[string]int64, stray string) {
	areas = map[string]int64{}
	for i, e := range entries {
		for at := e.Offset; at < e.Offset+e.Size; at += 512 {
			name := place(at)
			if name == "" && stray == "" {
				stray = fmt.Sprintf("entry %d writes %d bytes at %d, sector %d among them", i, e.Size, e.Offset, at/512)
			}
			areas[name] += 512
		}
	}
	return areas, stray
}
