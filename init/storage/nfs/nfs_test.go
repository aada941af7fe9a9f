package nfs

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"testing"
)

// fake is a server that reads calls and answers each with what do makes of the body after the
// credentials.
func fake(t *testing.T, do func(procedure uint32, args []byte) []byte) *Client {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	go func() {
		for {
			body, err := record(theirs)
			if err != nil {
				return
			}
			r := &reader{body}
			var head [6]uint32
			for i := range head {
				head[i], _ = r.u32()
			}
			for range 2 { // credentials, verifier
				r.u32()
				r.opaque()
			}
			w := &writer{}
			for _, v := range []uint32{head[0], 1, 0, 0, 0, 0} {
				w.u32(v)
			}
			w.raw(do(head[5], r.b))
			// In two fragments, as a server may.
			half := len(w.b) / 2
			out := append(binary.BigEndian.AppendUint32(nil, uint32(half)), w.b[:half]...)
			out = append(binary.BigEndian.AppendUint32(out, 1<<31|uint32(len(w.b)-half)), w.b[half:]...)
			if _, err := theirs.Write(out); err != nil {
				return
			}
		}
	}()
	return &Client{conn: ours, xid: 7}
}

// results makes the results of a COMPOUND: pairs of an operation and its status.
func results(status uint32, pairs ...uint32) *writer {
	w := &writer{}
	w.u32(status)
	w.opaque(nil)
	w.u32(uint32(len(pairs) / 2))
	for _, p := range pairs {
		w.u32(p)
	}
	return w
}

func TestLookup(t *testing.T) {
	var asked []byte
	c := fake(t, func(_ uint32, args []byte) []byte {
		asked = args
		w := results(0, opPutRootFH, 0, opLookup, 0, opLookup, 0, opGetFH, 0)
		w.opaque([]byte("handle"))
		return w.b
	})
	fh, err := c.Lookup("/srv//photos/")
	if err != nil || string(fh) != "handle" {
		t.Errorf("got %q, %v", fh, err)
	}
	want := &writer{}
	want.opaque(nil)
	for _, v := range []uint32{0, 4, opPutRootFH, opLookup} {
		want.u32(v)
	}
	want.opaque([]byte("srv"))
	want.u32(opLookup)
	want.opaque([]byte("photos"))
	want.u32(opGetFH)
	if !bytes.Equal(asked, want.b) {
		t.Errorf("asked %x, want %x", asked, want.b)
	}
	if err := c.Null(); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"no such directory": {results(2, opPutRootFH, 0, opLookup, 2).b, "no such directory"},
		"denied":            {results(13, opPutRootFH, 0, opLookup, 13).b, "access denied"},
		"minor version":     {results(10021).b, "version not served"},
		"cut":               {results(0, opPutRootFH, 0).b, errShort.Error()},
		"another operation": {results(0, opPutRootFH, 0, 99, 0).b, "operation 1 of the answer is 99"},
		"empty":             {nil, errShort.Error()},
	} {
		client := fake(t, func(uint32, []byte) []byte { return c.answer })
		if _, err := client.Lookup("/srv"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	for name, body := range map[string][]byte{
		"of another call": {0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0}, "short": {0, 0},
		"denied": {0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1},
	} {
		if _, err := answer(body, 8); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever a server sends, the client ends with an answer or an error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, results(0, opPutRootFH, 0).b)
	f.Fuzz(func(t *testing.T, head, body []byte) {
		if r, err := answer(head, 8); err == nil && r == nil {
			t.Error("neither an answer nor an error")
		}
		ours, theirs := net.Pipe()
		go func() {
			theirs.Write(append(binary.BigEndian.AppendUint32(nil, 1<<31|uint32(len(body))), body...))
			theirs.Close()
		}()
		if got, err := record(ours); err == nil && !bytes.Equal(got, body) {
			t.Errorf("got %x, want %x", got, body)
		}
		ours.Close()
	})
}
