package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
)

// A frame reaches every other guest whole and in order; one that does not read holds nobody up, and
// one that is gone or sends nonsense is left out.
func TestHub(t *testing.T) {
	var h Hub
	var links []*Link
	for i := range 4 {
		l, err := h.Plug(fmt.Sprintf("52:54:00:00:77:%02x", i))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		links = append(links, l)
	}
	send := func(l *Link, frame []byte) {
		t.Helper()
		if _, err := l.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(l *Link, want []byte) {
		t.Helper()
		if got, err := readFrame(l); err != nil || !bytes.Equal(got[4:], want) {
			t.Fatalf("got %.20q, %v, want %.20q", got, err, want)
		}
	}
	big := bytes.Repeat([]byte("x"), 65000)
	for i := range 3 * waiting { // links[3] reads nothing
		frame := fmt.Appendf(nil, "frame %d", i)
		if i%50 == 0 {
			frame = big
		}
		send(links[0], frame)
		get(links[1], frame)
		get(links[2], frame)
	}
	send(links[1], []byte("back"))
	get(links[0], []byte("back"))
	get(links[2], []byte("back"))

	if _, err := links[1].Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil { // a length that no frame has
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, links[1]); n != 0 || err != nil {
		t.Errorf("got %d bytes, %v, want the end of the cable", n, err)
	}
	links[3].Close()
	send(links[2], []byte("two are left"))
	get(links[0], []byte("two are left"))
}
