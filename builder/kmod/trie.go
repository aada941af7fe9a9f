package kmod

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The binary indexes are tries. All numbers are big endian and 32 bits wide.
//
//	file:  magic, version, root
//	node:  prefix and NUL, if it has one; then, if it has children, the first and the last character (a byte each) and a
//	       reference for each character from first to last, 0 for none; then, if it has values, their number and for
//	       each its priority and its text with NUL
//
// A reference is the node's offset in the file with flags in the top bits for which of the
// three parts it has. A node follows its children.
const (
	trieMagic   = 0xb007f457
	trieVersion = 2<<16 | 1

	hasPrefix   = 0x80000000
	hasValues   = 0x40000000
	hasChildren = 0x20000000
	offsetMask  = 0x0fffffff
)

type trie struct {
	prefix   string
	children map[byte]*trie
	values   []trieValue
}

type trieValue struct {
	priority uint32
	text     string
}

// insert adds a value under a key. Among the values of one key the lower priority comes first, and
// of equal ones the later, as depmod does it.
func (t *trie) insert(key, text string, priority uint32) error {
	for i := range len(key) {
		if key[i] == 0 || key[i] >= 128 {
			return fmt.Errorf("index key %q holds a character that modprobe's index cannot", key)
		}
	}
	for {
		n := 0
		for n < len(t.prefix) && n < len(key) && t.prefix[n] == key[n] {
			n++
		}
		if n < len(t.prefix) {
			below := &trie{prefix: t.prefix[n+1:], children: t.children, values: t.values}
			*t = trie{prefix: t.prefix[:n], children: map[byte]*trie{t.prefix[n]: below}}
		}
		if key = key[n:]; key == "" {
			break
		}
		next := t.children[key[0]]
		if next == nil {
			next = &trie{prefix: key[1:]}
			if t.children == nil {
				t.children = map[byte]*trie{}
			}
			t.children[key[0]] = next
			t = next
			break
		}
		t, key = next, key[1:]
	}
	at, _ := slices.BinarySearchFunc(t.values, priority, func(v trieValue, p uint32) int {
		if v.priority < p {
			return -1
		}
		return 1
	})
	t.values = slices.Insert(t.values, at, trieValue{priority, text})
	return nil
}

// marshal returns the file.
func (t *trie) marshal() ([]byte, error) {
	out := binary.BigEndian.AppendUint32(nil, trieMagic)
	out = binary.BigEndian.AppendUint32(out, trieVersion)
	out = binary.BigEndian.AppendUint32(out, 0)
	out, root := t.appendTo(out)
	if len(out) > offsetMask {
		return nil, fmt.Errorf("an index of %d bytes is too large for its format", len(out))
	}
	binary.BigEndian.PutUint32(out[8:], root)
	return out, nil
}

func (t *trie) appendTo(out []byte) ([]byte, uint32) {
	var first, last byte
	var refs []uint32
	if len(t.children) > 0 {
		first = 255
		for c := range t.children {
			first, last = min(first, c), max(last, c)
		}
		refs = make([]uint32, int(last)-int(first)+1)
		for i := range refs {
			if child := t.children[first+byte(i)]; child != nil {
				out, refs[i] = child.appendTo(out)
			}
		}
	}
	ref := uint32(len(out))
	if t.prefix != "" {
		out = append(append(out, t.prefix...), 0)
		ref |= hasPrefix
	}
	if refs != nil {
		out = append(out, first, last)
		for _, r := range refs {
			out = binary.BigEndian.AppendUint32(out, r)
		}
		ref |= hasChildren
	}
	if t.values != nil {
		out = binary.BigEndian.AppendUint32(out, uint32(len(t.values)))
		for _, v := range t.values {
			out = binary.BigEndian.AppendUint32(out, v.priority)
			out = append(append(out, v.text...), 0)
		}
		ref |= hasValues
	}
	return out, ref
}
