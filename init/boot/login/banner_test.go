package login

import (
	"context"
	"net"
	"testing"
)

func TestBanner(t *testing.T) {
	for text, ok := range map[string]bool{"SSH-2.0-OpenSSH_10.0p2\r\n": true, "HTTP/1.1 400\r\n": false, "SSH-2.0-OpenSSH": false, "": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, _ = c.Write([]byte(text))
				c.Close()
			}
		}()
		if err := banner(t.Context(), l.Addr().String()); (err == nil) != ok {
			t.Errorf("%q: got %v", text, err)
		}
		l.Close()
		if err := banner(t.Context(), l.Addr().String()); err == nil {
			t.Error("nobody listens, and there is a banner")
		}
	}
	// A server that accepts the connection and sends nothing ends with the time for it.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			stop()
			<-t.Context().Done()
		}
	}()
	if err := banner(ctx, l.Addr().String()); err == nil {
		t.Error("silence is a banner")
	}
}
