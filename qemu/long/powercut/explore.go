package powercut

import "math/rand/v2"

// tears are the places inside a sector, in bytes, at which a write of one sector may stop.
var tears = []int{4, 12, 32, 60, 256}

// explore visits the states that the medium may be in while ops are under way: before a flush has
// returned, each write since the flush before it may have arrived, not arrived, or arrived in part;
// the order is the medium's. done reports how many of ops had returned. random is the number of
// random orders tried per write. visit returns false to stop.
func (d *Disk) explore(v *view, ops []op, rng *rand.Rand, random int, visit func(done int) bool) {
	e := &explorer{Disk: d, view: v, visit: visit, rng: rng, flushed: v.clone()}
	stable := 0 // ops before it are on the medium
	for i, o := range ops {
		if !o.flush() {
			continue
		}
		e.epoch(ops[stable:i], stable, random)
		if e.stopped {
			return
		}
		for _, w := range ops[stable:i] {
			for _, c := range e.apply(w) {
				e.flushed.put(c.sector, e.get(c.sector))
			}
		}
		stable = i + 1
		e.see(stable)
	}
	e.epoch(ops[stable:], stable, random)
}

type explorer struct {
	*Disk
	*view
	flushed medium // what every later state has at least
	visit   func(done int) bool
	rng     *rand.Rand
	stopped bool
}

func (e *explorer) see(done int) {
	if !e.stopped && !e.visit(done) {
		e.stopped = true
	}
}

// undo restores sectors; the last change is taken back first.
type undo []struct {
	sector int64
	was    id
}

func (e *explorer) back(u undo) {
	for i := len(u) - 1; i >= 0; i-- {
		e.set(u[i].sector, u[i].was)
	}
}

func (e *explorer) keep(u undo, sector int64, n id) undo {
	return append(u, struct {
		sector int64
		was    id
	}{sector, e.set(sector, n)})
}

// apply lets a write arrive.
func (e *explorer) apply(w op) (u undo) {
	for i, n := range w.ids {
		u = e.keep(u, w.sector+int64(i), n)
	}
	return u
}

// epoch visits what may be left of writes that no flush has followed. At the end the medium is as
// it was.
func (e *explorer) epoch(writes []op, done, random int) {
	// Each one alone, and torn, on a medium that none of the others has reached.
	for i, w := range writes {
		u := e.apply(w)
		e.see(done + i + 1)
		e.back(u)
	}
	// In order: k have arrived, the next one is torn; one of those before is lost; the card lost
	// the area that it wrote to.
	var all undo
	for k, w := range writes {
		e.see(done + k)
		e.torn(w, done+k+1)
		all = append(all, e.apply(w)...)
		e.see(done + k + 1)
		e.area(w, done+k+1)
		// The others without one of them: all for short epochs, the nearest and some others for
		// long ones.
		for j := range writes[:k] {
			if k < 40 || j > k-4 || e.rng.IntN(k) < 12 {
				e.without(writes[:k+1], j, done+k+1)
			}
		}
		if e.stopped {
			break
		}
	}
	e.back(all)
	e.pairs(writes, done)
	if len(writes) > 1 {
		e.walk(writes, done, random*len(writes))
	}
}

// walk visits random sets of writes that have arrived, in steps of one write, so that a state costs
// one write.
func (e *explorer) walk(writes []op, done, steps int) {
	arrived := make([]bool, len(writes))
	overlaps := make([][]int, len(writes))
	for i := range writes {
		for j := range writes {
			if i != j && overlap(writes[i], writes[j]) {
				overlaps[i] = append(overlaps[i], j)
			}
		}
	}
	last := -1 // of those that have arrived: what was issued after it is unknown
	for range steps {
		if e.stopped {
			break
		}
		i := e.rng.IntN(len(writes))
		arrived[i] = !arrived[i]
		for k := range writes[i].ids {
			sector := writes[i].sector + int64(k)
			n := e.flushed.get(sector)
			if arrived[i] {
				n = writes[i].ids[k]
			}
			for _, j := range overlaps[i] { // in order: the last that has arrived counts
				if at := sector - writes[j].sector; arrived[j] && at >= 0 && at < int64(len(writes[j].ids)) && (j > i || !arrived[i]) {
					n = writes[j].ids[at]
				}
			}
			e.set(sector, n)
		}
		for last = len(arrived) - 1; last >= 0 && !arrived[last]; last-- {
		}
		e.see(done + last + 1)
	}
	for i, a := range arrived {
		if a {
			for k := range writes[i].ids {
				sector := writes[i].sector + int64(k)
				e.set(sector, e.flushed.get(sector))
			}
		}
	}
}

func overlap(a, b op) bool {
	return a.sector < b.sector+int64(len(b.ids)) && b.sector < a.sector+int64(len(a.ids))
}

// pairs visits two writes of one sector each, one of them torn, gone with its area, or not there,
// whatever the other is.
func (e *explorer) pairs(writes []op, done int) {
	var single []int
	for i, w := range writes {
		if len(w.ids) == 1 {
			single = append(single, i)
		}
	}
	if len(single) > 8 {
		single = single[:8]
	}
	for x, i := range single {
		for _, j := range single[x+1:] {
			a, b := writes[i], writes[j]
			if a.sector == b.sector {
				continue
			}
			for _, left := range e.remains(a) {
				for _, right := range e.remains(b) {
					u := e.keep(e.keep(nil, a.sector, left), b.sector, right)
					e.see(done + j + 1)
					e.back(u)
				}
			}
		}
	}
}

// remains are what a write of one sector may leave.
func (e *explorer) remains(w op) []id {
	old, young := e.list[e.get(w.sector)], e.list[w.ids[0]]
	all := []id{e.get(w.sector), w.ids[0], zeros, ones}
	for _, cut := range tears {
		all = append(all, e.intern(append(append([]byte{}, young[:cut]...), old[cut:]...)), e.intern(append(append([]byte{}, old[:cut]...), young[cut:]...)))
	}
	return all
}

// without visits the medium that all of writes have reached but number j.
func (e *explorer) without(writes []op, j, done int) {
	var u undo
	w := writes[j]
	for i := range w.ids {
		sector := w.sector + int64(i)
		u = e.keep(u, sector, e.beneath(writes[:j], sector))
	}
	for _, later := range writes[j+1:] {
		if overlap(later, w) {
			u = append(u, e.apply(later)...)
		}
	}
	e.see(done)
	e.back(u)
}

// beneath is what a sector holds when writes have arrived and nothing else of this epoch.
func (e *explorer) beneath(writes []op, sector int64) id {
	for i := len(writes) - 1; i >= 0; i-- {
		if k := sector - writes[i].sector; k >= 0 && k < int64(len(writes[i].ids)) {
			return writes[i].ids[k]
		}
	}
	return e.flushed.get(sector)
}

// torn visits parts of a write.
func (e *explorer) torn(w op, done int) {
	if len(w.ids) == 1 {
		for _, n := range e.remains(w) {
			u := e.keep(nil, w.sector, n)
			e.see(done)
			e.back(u)
		}
		return
	}
	n := len(w.ids)
	for _, cut := range []int{1, n / 3, n - 1, 1 + e.rng.IntN(n-1)} {
		u := e.apply(op{sector: w.sector, ids: w.ids[:cut]})
		e.see(done)
		e.back(u)
		u = e.apply(op{sector: w.sector + int64(cut), ids: w.ids[cut:]})
		e.see(done)
		e.back(u)
	}
}

// area visits the loss of the area that a write ends in, as zeros and as ones.
func (e *explorer) area(w op, done int) {
	first := (w.sector + int64(len(w.ids)) - 1) / (Area / Sector) * (Area / Sector)
	for _, n := range []id{zeros, ones} {
		var u undo
		for s := first; s < first+Area/Sector; s++ {
			u = e.keep(u, s, n)
		}
		e.see(done)
		e.back(u)
	}
}
