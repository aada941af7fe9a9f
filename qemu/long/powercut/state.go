package powercut

// An image is a system that may be in a slot: the content of each sector from the slot's first one
// on.
type image []id

// A view is one state of a medium, changed step by step. It keeps count of how far each slot is
// from each image, and a digest of the whole, so that a state costs only the sectors in which it
// differs from the one before.
type view struct {
	medium
	start  medium
	slots  [2]int64 // first sector of slot a and b
	images []image
	off    [2][]int // slot, image: how many sectors differ
	digest uint64   // of all sectors that differ from start
}

func newView(start medium, slots [2]int64, images []image) *view {
	v := &view{medium: start.clone(), start: start, slots: slots, images: images}
	for i := range v.slots {
		v.off[i] = make([]int, len(images))
		for j, m := range images {
			for k, want := range m {
				if v.get(v.slots[i]+int64(k)) != want {
					v.off[i][j]++
				}
			}
		}
	}
	return v
}

// set changes a sector and returns what it held.
func (v *view) set(sector int64, n id) (before id) {
	before = v.get(sector)
	if before == n {
		return before
	}
	v.put(sector, n)
	for i, first := range v.slots {
		k := sector - first
		if k < 0 {
			continue
		}
		for j, m := range v.images {
			if k >= int64(len(m)) {
				continue
			}
			if before == m[k] {
				v.off[i][j]++
			} else if n == m[k] {
				v.off[i][j]--
			}
		}
	}
	start := v.start.get(sector)
	v.digest ^= mark(sector, before, start) ^ mark(sector, n, start)
	return before
}

// mark is a sector's share of the digest: none if it is as it was at the start.
func mark(sector int64, n, start id) uint64 {
	if n == start {
		return 0
	}
	x := uint64(sector)*0x9e3779b97f4a7c15 ^ (uint64(n)+1)*0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 29
	return x
}

// whole is the number of the image that a slot holds except for its first sector; -1 if none.
func (v *view) whole(slot int) int {
	for j, m := range v.images {
		off := v.off[slot][j]
		if off > 0 && v.get(v.slots[slot]) != m[0] {
			off--
		}
		if off == 0 {
			return j
		}
	}
	return -1
}
