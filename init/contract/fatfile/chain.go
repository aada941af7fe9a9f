package fatfile

import (
	"cmp"
	"slices"
)

// extents follows the chain of a file for as many clusters as its size needs, and no further.
func (v *volume) extents(e entry) ([]Extent, error) {
	if e.size == 0 {
		return nil, nil
	}
	need := (e.size + v.cluster - 1) / v.cluster
	if need > int64(v.clusters) {
		return nil, damaged("a file of %d bytes is larger than the volume", e.size)
	}
	var list []Extent
	left, c := e.size, e.first
	for {
		if !v.valid(c) {
			return nil, damaged("the chain of a file of %d bytes breaks off at cluster %#x, %d bytes early", e.size, c, left)
		}
		size, at := min(left, v.cluster), v.offset(c)
		if n := len(list); n > 0 && list[n-1].Offset+list[n-1].Size == at {
			list[n-1].Size += size
		} else if n == maxExtents {
			return nil, damaged("a file is in more than %d pieces", maxExtents)
		} else {
			list = append(list, Extent{at, size})
		}
		if left -= size; left == 0 {
			break
		}
		var err error
		if c, err = v.next(c); err != nil {
			return nil, err
		}
	}
	if crossed(list) {
		return nil, damaged("the chain of a file comes back to itself")
	}
	return list, nil
}

// apart makes sure that no directory of the volume shares clusters with the pieces of a file, so
// that writing the file cannot destroy names. Any doubt about a directory is an error.
func (v *volume) apart(file []Extent) error {
	all := slices.Clone(file)
	queue, seen := []uint32{v.rootFirst}, map[uint32]bool{}
	for n := 0; n < len(queue); n++ {
		chain, err := v.directoryExtents(queue[n], n == 0)
		if err != nil {
			return err
		}
		if all = append(all, chain...); len(all) > maxExtents {
			return damaged("its directories are in more than %d pieces", maxExtents)
		}
		err = v.list(queue[n], n == 0, func(b []byte) (done bool) {
			if b[0] == 0 {
				return true
			}
			if b[0] != 0xE5 && b[0] != '.' && b[11]&(attrDir|attrLabel) == attrDir {
				if first := v.first(b); !seen[first] {
					seen[first] = true
					queue = append(queue, first)
				}
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	if crossed(all) {
		return damaged("a file and a directory share a cluster")
	}
	return nil
}

// directoryExtents follows the whole chain of a directory.
func (v *volume) directoryExtents(first uint32, root bool) (list []Extent, err error) {
	if root && v.bits != 32 {
		return []Extent{v.root}, nil
	}
	for c := first; ; {
		if !v.valid(c) {
			return nil, damaged("the chain of a directory breaks off at cluster %#x", c)
		}
		if int64(len(list))*v.cluster > maxEntries*entrySize {
			return nil, damaged("a directory has more than %d entries", maxEntries)
		}
		list = append(list, Extent{v.offset(c), v.cluster})
		if c, err = v.next(c); err != nil || c >= v.endMark() {
			return list, err
		}
	}
}

// crossed reports whether two extents share bytes.
func crossed(list []Extent) bool {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].Offset < sorted[i-1].Offset+sorted[i-1].Size {
			return true
		}
	}
	return false
}
