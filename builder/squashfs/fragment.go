package squashfs

// fragment is a block that holds small files and the ends of larger ones.
type fragment struct {
	index uint32 // in the fragment table
	start uint64
	size  uint32 // with the blockRaw bit
}

// packer fills fragments.
type packer struct {
	pipeline  *pipeline
	open      *job
	current   *fragment
	fragments []*fragment
	bytes     int64 // of finished fragments, written by the pipeline
}

// add puts data, at most a block, into a fragment.
func (k *packer) add(data []byte, read int64) (*fragment, uint32, error) {
	if k.open != nil && len(k.open.data)+len(data) > k.pipeline.options.BlockSize {
		k.flush(read)
	}
	if k.open == nil {
		j, err := k.pipeline.buffer()
		if err != nil {
			return nil, 0, err
		}
		k.open = j
		k.current = &fragment{index: uint32(len(k.fragments))}
		k.fragments = append(k.fragments, k.current)
	}
	offset := uint32(len(k.open.data))
	k.open.data = append(k.open.data, data...)
	return k.current, offset, nil
}

func (k *packer) flush(read int64) {
	if k.open == nil {
		return
	}
	f := k.current
	k.open.read = read
	k.open.placed = func(at int64, size uint32) {
		f.start, f.size = uint64(at), size
		k.bytes += int64(size &^ blockRaw)
	}
	k.pipeline.submit(k.open)
	k.open = nil
}
