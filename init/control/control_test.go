package control

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"imgbuild/init/fault"
)

func serve(t *testing.T, h Handler) string {
	t.Helper()
	path := t.TempDir() + "/s"
	if err := Serve(path, h); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCall(t *testing.T) {
	path := serve(t, func(r Request, trusted bool) (any, error) {
		switch r.Verb {
		case "who":
			return trusted, nil
		case "bad":
			return nil, fault.New(fault.Unhealthy, "do that", "it is bad")
		}
		return nil, nil
	})
	var trusted bool
	if err := Call(path, Request{Verb: "who"}, &trusted); err != nil {
		t.Fatal(err)
	}
	if trusted != (os.Getuid() == 0) {
		t.Errorf("user %d is trusted: %v", os.Getuid(), trusted)
	}
	err := Call(path, Request{Verb: "bad"}, nil)
	if fault.Code(err) != 7 || err.Error() != "it is bad; do that" {
		t.Errorf("%d %v", fault.Code(err), err)
	}
	if err := Call(path, Request{Verb: "nothing"}, nil); err != nil {
		t.Error(err)
	}
	if err := Call(path+"x", Request{}, nil); fault.Code(err) != 7 {
		t.Errorf("nobody there: %v", err)
	}
}

func TestNoise(t *testing.T) {
	path := serve(t, func(Request, bool) (any, error) { t.Error("noise is a request"); return nil, nil })
	for _, text := range []string{"\n", "{\n", "hello\n", strings.Repeat("x", 2*requestLimit)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write([]byte(text))
		buf := make([]byte, 4096)
		if n, _ := c.Read(buf); n > 0 && !strings.Contains(string(buf[:n]), "no request") {
			t.Errorf("%.10q: %s", text, buf[:n])
		}
		c.Close()
	}
}

// A flow is copied until it ends, and told when its reader has gone.
func TestStream(t *testing.T) {
	gone := make(chan struct{})
	path := serve(t, func(r Request, _ bool) (any, error) {
		switch r.Verb {
		case "three":
			return Flow(func(_ context.Context, w io.Writer) error {
				for range 3 {
					io.WriteString(w, r.Args["word"]+"\n")
				}
				return nil
			}), nil
		case "forever":
			return Flow(func(ctx context.Context, w io.Writer) error {
				io.WriteString(w, "first\n")
				<-ctx.Done()
				close(gone)
				return nil
			}), nil
		case "bad":
			return nil, fault.New(fault.Input, "", "no")
		}
		return nil, nil
	})
	var b strings.Builder
	if err := Stream(t.Context(), path, Request{Verb: "three", Args: map[string]string{"word": "a"}}, &b); err != nil || b.String() != "a\na\na\n" {
		t.Errorf("%q %v", b.String(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Stream(ctx, path, Request{Verb: "forever"}, writer(func(p []byte) { cancel() })); err != nil {
		t.Error(err)
	}
	<-gone
	if err := Stream(t.Context(), path, Request{Verb: "bad"}, &b); fault.Code(err) != 3 {
		t.Error(err)
	}
	if err := Stream(t.Context(), path, Request{Verb: "none"}, &b); err == nil {
		t.Error("no stream is a stream")
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }
