package vm

import (
	"bufio"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"sync"
)

// Hub is a network between guests: every frame goes to all others, as over a hub. It lives in this
// process, takes no port and no path, and needs no privilege.
type Hub struct {
	mu    sync.Mutex
	ports []*port
}

type port struct {
	end *os.File
	out chan []byte // frames in QEMU's form
}

// waiting is how many frames wait for a guest. More are lost, as in a switch: a guest that does not
// read, for example while it boots, must not hold the others up.
const waiting = 256

// longestFrame bounds a frame, in bytes: what QEMU's -netdev socket takes.
const longestFrame = 4096 + 65536

// Plug makes a cable to the hub. It goes into the options of one guest; what comes of it ends with
// the guest, or when it is closed.
func (h *Hub) Plug(mac string) (*Link, error) {
	guest, ours, err := NewLink(mac, "")
	if err != nil {
		return nil, err
	}
	p := &port{end: ours.end, out: make(chan []byte, waiting)}
	h.mu.Lock()
	h.ports = append(h.ports, p)
	h.mu.Unlock()
	go func() {
		for frame := range p.out {
			if _, err := p.end.Write(frame); err != nil {
				break
			}
		}
		p.end.Close()
	}()
	go h.serve(p)
	return guest, nil
}

// serve hands on what comes from a port, until its cable ends.
func (h *Hub) serve(p *port) {
	in := bufio.NewReaderSize(p.end, longestFrame)
	for {
		frame, err := readFrame(in)
		h.mu.Lock()
		if err != nil {
			h.ports = slices.DeleteFunc(h.ports, func(q *port) bool { return q == p })
			close(p.out) // nobody sends any more
			h.mu.Unlock()
			return
		}
		for _, q := range h.ports {
			if q == p {
				continue
			}
			select {
			case q.out <- frame:
			default:
			}
		}
		h.mu.Unlock()
	}
}

// readFrame reads a frame with its length in front, as Link.Read describes it.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > longestFrame {
		return nil, io.ErrShortBuffer
	}
	frame := append(make([]byte, 0, 4+n), size[:]...)[:4+n]
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
