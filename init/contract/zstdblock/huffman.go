package zstdblock

import "slices"

const maxCode = 11 // bits of the longest Huffman code

// huffman is a prefix code for literals, section 4.2 of RFC 8878.
type huffman struct {
	length [256]uint8
	code   [256]uint16
	last   int // the highest symbol in use
	header []byte
	fse    fseTable
}

// set makes the code for counts of at least two symbols. It fails if the code cannot be described.
func (h *huffman) set(counts *[256]uint32) bool {
	var symbols [256]uint8
	n := 0
	for s, c := range counts {
		h.length[s] = 0
		if c > 0 {
			symbols[n] = uint8(s)
			n++
			h.last = s
		}
	}
	used := symbols[:n]
	slices.SortFunc(used, func(a, b uint8) int {
		if counts[a] != counts[b] {
			return int(counts[a]) - int(counts[b])
		}
		return int(a) - int(b)
	})
	h.lengths(used, counts)
	longest := uint8(0)
	var perLength [maxCode + 1]uint16
	for _, s := range used {
		longest = max(longest, h.length[s])
		perLength[h.length[s]]++
	}
	var next [maxCode + 1]uint16
	code := uint16(0)
	for l := longest; l > 0; l-- {
		next[l] = code
		code = (code + perLength[l]) >> 1
	}
	for s := range h.last + 1 {
		if l := h.length[s]; l > 0 {
			h.code[s] = next[l]
			next[l]++
		}
	}
	return h.describe(longest)
}

// lengths returns the used symbols, rarest first, their code lengths: Huffman's tree by two queues,
// then cut to maxCode bits.
func (h *huffman) lengths(used []uint8, counts *[256]uint32) {
	var weight [512]uint32
	var parent [512]uint16
	n := len(used)
	for i, s := range used {
		weight[i] = counts[s]
	}
	leaf, node := 0, n
	pick := func(end int) int {
		if leaf < n && (node >= end || weight[leaf] <= weight[node]) {
			leaf++
			return leaf - 1
		}
		node++
		return node - 1
	}
	root := 2*n - 2
	for end := n; end <= root; end++ {
		a := pick(end)
		b := pick(end)
		weight[end] = weight[a] + weight[b]
		parent[a], parent[b] = uint16(end), uint16(end)
	}
	var depth [512]uint8
	for i := root - 1; i >= 0; i-- {
		depth[i] = depth[parent[i]] + 1
	}
	space := 0 // in units of the longest code; a complete code has exactly 1<<maxCode
	for i, s := range used {
		h.length[s] = min(depth[i], maxCode)
		space += 1 << (maxCode - h.length[s])
	}
	for space > 1<<maxCode {
		for _, s := range used {
			if h.length[s] < maxCode {
				h.length[s]++
				space -= 1 << (maxCode - h.length[s])
				if space <= 1<<maxCode {
					break
				}
			}
		}
	}
	for space < 1<<maxCode {
		for i := n - 1; i >= 0; i-- {
			gain := 1 << (maxCode - h.length[used[i]])
			if h.length[used[i]] > 1 && space+gain <= 1<<maxCode {
				h.length[used[i]]--
				space += gain
			}
		}
	}
}

// describe makes the header: the weights of all symbols but the last one, by FSE or four bits each.
func (h *huffman) describe(longest uint8) bool {
	var weights [256]uint8
	var counts [maxCode + 2]uint32
	for s := range h.last {
		if l := h.length[s]; l > 0 {
			weights[s] = longest + 1 - l
		}
		counts[weights[s]]++
	}
	n := h.last
	h.header = append(h.header[:0], 0)
	if n > 2 && slices.Max(counts[:]) < uint32(n) {
		h.fse.normalize(counts[:], uint32(n), min(tableLog(uint32(n), len(counts), 6), 6))
		h.fse.set()
		w := bitWriter{out: h.fse.appendHeader(h.header)}
		var state [2]uint32
		state[(n-1)&1] = h.fse.start(weights[n-1])
		state[(n-2)&1] = h.fse.start(weights[n-2])
		for i := n - 3; i >= 0; i-- {
			state[i&1] = h.fse.encode(&w, state[i&1], weights[i])
		}
		h.fse.finish(&w, state[1])
		h.fse.finish(&w, state[0])
		w.end()
		h.header = w.out
	}
	if size := len(h.header) - 1; size > 0 && size < 128 && (n > 128 || size < (n+1)/2) {
		h.header[0] = byte(size)
		return true
	}
	if n > 128 {
		return false
	}
	h.header = append(h.header[:0], byte(127+n))
	for i := 0; i < n; i += 2 {
		h.header = append(h.header, weights[i]<<4|weights[i+1])
	}
	return true
}

// appendStream appends literals as one stream.
func (h *huffman) appendStream(out, literals []byte) []byte {
	w := bitWriter{out: out}
	for i := len(literals) - 1; i >= 0; i-- {
		w.add(uint32(h.code[literals[i]]), uint(h.length[literals[i]]))
	}
	w.end()
	return w.out
}
