package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

func open(t testing.TB, h Handler, trust func(*net.UnixConn) bool) string {
	t.Helper()
	path := t.TempDir() + "/s"
	if err := serve(path, h, trust); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCall(t *testing.T) {
	path := open(t, func(r Request, trusted bool) (any, error) {
		switch r.Verb {
		case "who":
			return trusted, nil
		case "bad":
			return nil, fault.New(fault.Unhealthy, "do that", "it is bad")
		}
		return nil, nil
	}, trusted)
	var who bool
	if err := Call(path, Request{Verb: "who"}, &who); err != nil {
		t.Fatal(err)
	}
	if who != (os.Getuid() == 0) {
		t.Errorf("user %d is trusted: %v", os.Getuid(), who)
	}
	err := Call(path, Request{Verb: "bad"}, nil)
	if fault.Code(err) != 7 || err.Error() != "it is bad; do that" {
		t.Errorf("%d %v: got %q, want 7 and %q", fault.Code(err), err, err.Error(), "it is bad; do that")
	}
	if err := Call(path, Request{Verb: "nothing"}, nil); err != nil {
		t.Error(err)
	}
	if err := Call(path+"x", Request{}, nil); fault.Code(err) != 7 {
		t.Errorf("nobody there: %v, want code 7", err)
	}
}

func TestNoise(t *testing.T) {
	path := open(t, func(Request, bool) (any, error) { t.Error("noise is a request"); return nil, nil }, trusted)
	for _, text := range []string{"\n", "{\n", "hello\n", strings.Repeat("x", 2*requestLimit)} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write([]byte(text))
		buf := make([]byte, 4096)
		if n, _ := c.Read(buf); n > 0 && !strings.Contains(string(buf[:n]), "not a request") {
			t.Errorf("%.10q: %s", text, buf[:n])
		}
		c.Close()
	}
}

// A flow is copied until it ends, and its end is noticed when its reader has gone.
func TestStream(t *testing.T) {
	gone := make(chan struct{})
	path := open(t, func(r Request, _ bool) (any, error) {
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
	}, trusted)
	var b strings.Builder
	if err := Stream(t.Context(), path, Request{Verb: "three", Args: map[string]string{"word": "a"}}, &b); err != nil || b.String() != "a\na\na\n" {
		t.Errorf("%q %v, want %q", b.String(), err, "a\na\na\n")
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Stream(ctx, path, Request{Verb: "forever"}, writer(func(p []byte) { cancel() })); err != nil {
		t.Error(err)
	}
	<-gone
	if err := Stream(t.Context(), path, Request{Verb: "bad"}, &b); fault.Code(err) != 3 {
		t.Errorf("got %v, want 3", fault.Code(err))
	}
	if err := Stream(t.Context(), path, Request{Verb: "none"}, &b); err == nil {
		t.Error("no stream is a stream")
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// Strangers who connect and send nothing, however many, do not keep trusted callers away; a
// stranger's request is short.
func TestCrowd(t *testing.T) {
	var friend atomic.Bool
	path := open(t, func(r Request, may bool) (any, error) { return may, nil }, func(*net.UnixConn) bool { return friend.Load() })
	var crowd []net.Conn
	defer func() {
		for _, c := range crowd {
			c.Close()
		}
	}()
	for range 300 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	// The last one was sent away, so all have been looked at.
	last := crowd[len(crowd)-1]
	last.SetDeadline(time.Now().Add(20 * time.Second))
	if line, err := bufio.NewReader(last).ReadString('\n'); err != nil || !strings.Contains(line, "too many") {
		t.Errorf("%q %v", line, err)
	}
	friend.Store(true)
	var may bool
	long := Request{Verb: "x", Args: map[string]string{"text": strings.Repeat("x", 2*strangerLimit)}}
	if err := Call(path, long, &may); err != nil || !may {
		t.Errorf("root does not get through: %v", err)
	}
	for _, c := range crowd {
		c.Close()
	}
	friend.Store(false)
	for range 100 { // until the places are free again
		if err := Call(path, Request{Verb: "x"}, &may); err == nil {
			break
		}
	}
	if err := Call(path, Request{Verb: "x"}, &may); err != nil || may {
		t.Errorf("a stranger is not received: %v %v", err, may)
	}
	if err := Call(path, long, nil); err == nil {
		t.Error("a stranger may send any amount")
	}
}

// Those who watch a log for days do not take the place of those who ask.
func TestManyFlows(t *testing.T) {
	path := open(t, func(r Request, _ bool) (any, error) {
		if r.Verb != "forever" {
			return nil, nil
		}
		return Flow(func(ctx context.Context, w io.Writer) error {
			io.WriteString(w, "first\n")
			<-ctx.Done()
			return nil
		}), nil
	}, func(*net.UnixConn) bool { return true })
	ctx, cancel := context.WithCancel(t.Context())
	began, ended := make(chan struct{}), make(chan error)
	const many = callers + 10
	for range many {
		go func() {
			ended <- Stream(ctx, path, Request{Verb: "forever"}, writer(func([]byte) { began <- struct{}{} }))
		}()
	}
	for range many {
		select {
		case <-began:
		case err := <-ended:
			t.Fatal(err)
		}
	}
	if err := Call(path, Request{Verb: "x"}, nil); err != nil {
		t.Error(err)
	}
	cancel()
	for range many {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Whatever comes, one line of JSON goes back, and only a request gets to the handler.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{`{"verb":"status"}`, `{"verb":"logs","args":{"name":"../x","lines":"-1"}}`, "", "{", "null", "[]", `{"verb":1}`, `{"args":{"a":null}}`, "\x00\xff", strings.Repeat("[", 5000)} {
		f.Add([]byte(s))
	}
	path := open(f, func(r Request, _ bool) (any, error) { return r.Args, nil }, trusted)
	f.Fuzz(func(t *testing.T, text []byte) {
		text = bytes.ReplaceAll(text, []byte("\n"), nil) // a request is one line
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		c.Write(append(bytes.Clone(text), '\n'))
		line, err := bufio.NewReader(c).ReadBytes('\n')
		var r Response
		if err != nil || json.Unmarshal(line, &r) != nil {
			t.Fatalf("%q: %q %v", text, line, err)
		}
		var asked Request
		if wrong := json.Unmarshal(text, &asked) != nil; wrong != (r.Error != "") && len(text) < strangerLimit {
			t.Errorf("%q: %+v", text, r)
		}
	})
}
