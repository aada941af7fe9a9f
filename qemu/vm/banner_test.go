package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// TestBanner knocks at a guest that is not there at first, then refuses, then accepts a try that is not the last one.
func TestBanner(t *testing.T) {
	l, guest, err := NewLAN(0)
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		at, err := l.Banner(t.Context(), 22, "SSH-")
		if err == nil && at.Before(start) {
			t.Error("it came before it was asked for")
		}
		done <- err
	}()
	read := func() segment {
		var n uint32
		if err := binary.Read(guest.end, binary.BigEndian, &n); err != nil {
			t.Fatal(err)
		}
		f := make([]byte, n)
		if _, err := io.ReadFull(guest.end, f); err != nil {
			t.Fatal(err)
		}
		p := f[14:]
		p = p[:binary.BigEndian.Uint16(p[2:])]
		if !bytes.Equal(f[:6], lanGuestMAC) || p[9] != 6 || !net.IP(p[16:20]).Equal(lanGuest) || inverse(p[:20]) != 0 {
			t.Fatalf("frame: % x", f)
		}
		pseudo := append(append([]byte{}, p[12:20]...), 0, 6, 0, byte(len(p)-20))
		if inverse(pseudo, p[20:]) != 0 {
			t.Fatalf("the checksum is wrong: % x", p)
		}
		b := p[20:]
		return segment{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], b[20:]}
	}
	write := func(s segment) {
		h := make([]byte, 20)
		binary.BigEndian.PutUint16(h, s.from)
		binary.BigEndian.PutUint16(h[2:], s.to)
		binary.BigEndian.PutUint32(h[4:], s.seq)
		binary.BigEndian.PutUint32(h[8:], s.ack)
		h[12], h[13] = 5<<4, s.flags
		f := ethernet(lanMAC, 0x0800, ipv4(6, lanGuest, lanUs, append(h, s.data...)))
		if _, err := guest.end.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := read(), read()
	if first.flags != flagSYN || first.to != 22 || first.from == second.from {
		t.Fatalf("knocks: %+v, %+v", first, second)
	}
	write(segment{22, first.from, 0, first.seq + 1, flagRST | flagACK, nil})
	old := read()
	for range 3 {
		read()
	}
	write(segment{22, old.from, 100, old.seq + 1, flagSYN | flagACK, nil})
	for {
		s := read()
		if s.flags == flagSYN {
			continue
		}
		if s.flags != flagACK || s.from != old.from || s.seq != old.seq+1 || s.ack != 101 {
			t.Fatalf("answer to the greeting hand: %+v", s)
		}
		break
	}
	write(segment{22, old.from, 101, old.seq + 1, flagACK, []byte("SSH-2.0-guest\r\n")})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := read(); s.flags != flagRST || s.from != old.from {
		t.Errorf("it does not hang up: %+v", s)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := l.Banner(ctx, 22, "SSH-"); err == nil {
		t.Error("it gives up without a word")
	}
}
