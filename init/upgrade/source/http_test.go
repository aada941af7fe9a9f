package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

// content is a file as long as n bytes that looks like nothing else.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// quick are options for tests: nobody waits between tries.
func quick() HTTPOptions {
	return HTTPOptions{Pause: func(context.Context, int) {}}
}

func open(t *testing.T, address string, o HTTPOptions) *HTTP {
	t.Helper()
	h, err := NewHTTP(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// fault.Code of nil is 0.
func wantKind(t *testing.T, what string, err error, want fault.Kind) {
	t.Helper()
	if got := fault.Code(err); got != int(want) {
		t.Errorf("%s: got code %d (%v), want %d", what, got, err, want)
	}
}

// serve answers every request with answer, which gets the file and counts requests from 1.
func serve(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (address string, requests func() int) {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		answer(n, w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/a.upgrade", func() int { return n }
}

// file answers as Go's file server does, with an ETag.
func file(data []byte) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, bundle.SumOf(data)))
		http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
	}
}

// breaking sends a part of the body and then drops the connection.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	n := min(b.left, len(p))
	b.ResponseWriter.Write(p[:n])
	b.left -= n
	if n < len(p) {
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func TestConnectionsThatBreak(t *testing.T) {
	data := content(1, 300_000)
	for _, whole := range []bool{false, true} {
		address, requests := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if whole {
				r.Header.Del("Range")
			}
			if n%3 == 2 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			file(data)(&breaking{w, 40_000 * n}, r)
		})
		h := open(t, address, quick())
		got, err := bundle.Read(t.Context(), h, 1000, 280_000)
		if err != nil || !bytes.Equal(got, data[1000:281_000]) {
			t.Errorf("whole %v: got %d bytes, %v", whole, len(got), err)
		}
		if requests() < 3 {
			t.Errorf("whole %v: %d requests, want more", whole, requests())
		}
	}
}

func TestServerThatStaysAway(t *testing.T) {
	address, requests := serve(t, func(n int, w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	o := quick()
	o.Tries = 3
	_, err := bundle.Read(t.Context(), open(t, address, o), 0, 10)
	wantKind(t, "502", err, fault.Network)
	if requests() != 3 {
		t.Errorf("got %d requests, want 3", requests())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = bundle.Read(t.Context(), open(t, "http://user:secret@"+l.Addr().String()+"/x", o), 0, 10)
	wantKind(t, "nobody there", err, fault.Network)
	for _, bad := range []string{"http://user:secret@[::1/x", "ftp://user:secret@h/x", "http://user:sec ret@h/x", "http://user:secret%zz@h/x"} {
		if _, err := NewHTTP(bad, o); err == nil || strings.Contains(err.Error(), "sec") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := OpenOCI(t.Context(), "user:secret@h/x:y", o); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("oci: %v", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is shown: %v", err)
	}
}

// TestStall: a connection without a byte counts as broken; time in which nobody reads does not
// count.
func TestStall(t *testing.T) {
	data := content(2, 100_000)
	release := make(chan struct{})
	defer close(release)
	address, requests := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			w.Header().Set("Content-Range", "bytes 0-99999/100000")
			w.Header().Set("Content-Length", "100000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data[:5000])
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		file(data)(w, r)
	})
	o := quick()
	o.Idle = 200 * time.Millisecond
	got, err := bundle.Read(t.Context(), open(t, address, o), 0, 100_000)
	if err != nil || !bytes.Equal(got, data) || requests() != 2 {
		t.Errorf("got %d bytes in %d requests, %v", len(got), requests(), err)
	}
}

// TestReplaced: the file is another one at the second request, and the server does not know
// If-Range.
func TestReplaced(t *testing.T) {
	a, b := content(3, 50_000), content(4, 50_000)
	for name, change := range map[string]func(w http.ResponseWriter, r *http.Request){
		"If-Range is known": func(w http.ResponseWriter, r *http.Request) {},
		"it is not":         func(w http.ResponseWriter, r *http.Request) { r.Header.Del("If-Range") },
		"no ranges":         func(w http.ResponseWriter, r *http.Request) { r.Header.Del("Range") },
	} {
		address, _ := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			change(w, r)
			if n == 1 {
				file(a)(w, r)
			} else {
				file(b)(w, r)
			}
		})
		h := open(t, address, quick())
		if _, err := bundle.Read(t.Context(), h, 20_000, 100); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := bundle.Read(t.Context(), h, 100, 100)
		wantKind(t, name, err, fault.Network)
		if err != nil && !strings.Contains(err.Error(), "replaced") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	data := content(5, 10_000)
	ranged := func(span string, status int, body []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", span)
			w.WriteHeader(status)
			w.Write(body)
		}
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   fault.Kind
	}{
		"a file":               {file(data), 0},
		"another part":         {ranged("bytes 0-99/10000", 206, data[:100]), fault.Network},
		"more than was asked":  {ranged("bytes 5000-9999/10000", 206, data[5000:]), fault.Network},
		"no Content-Range":     {ranged("", 206, data[5000:5100]), fault.Network},
		"several parts":        {ranged("", 206, []byte("--x\r\n")), fault.Network},
		"behind the end":       {ranged("bytes */100", 416, nil), fault.Verify},
		"416 without a size":   {ranged("", 416, nil), fault.Verify},
		"not there":            {func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, fault.Network},
		"the whole, too short": {func(w http.ResponseWriter, r *http.Request) { w.Write(data[:4000]) }, fault.Verify},
		"the whole":            {func(w http.ResponseWriter, r *http.Request) { w.Write(data) }, 0},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(data)
		}, fault.Network},
		"the whole, far larger": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "99999999999") }, fault.Network},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/there" {
				http.Redirect(w, r, "/there", http.StatusFound)
				return
			}
			file(data)(w, r)
		}, 0},
	} {
		address, _ := serve(t, func(n int, w http.ResponseWriter, r *http.Request) { c.answer(w, r) })
		got, err := bundle.Read(t.Context(), open(t, address, quick()), 5000, 100)
		wantKind(t, name, err, c.want)
		if err == nil && !bytes.Equal(got, data[5000:5100]) {
			t.Errorf("%s: other bytes", name)
		}
	}
	for _, bad := range []string{"", "ftp://x/y", "http:///y", "x.upgrade", "http://%zz"} {
		_, err := NewHTTP(bad, quick())
		wantKind(t, bad, err, fault.Usage)
	}
}

// TestEnd: a range that goes beyond the file ends early, and reports it.
func TestEnd(t *testing.T) {
	data := content(6, 1000)
	for _, whole := range []bool{false, true} {
		address, _ := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if whole {
				r.Header.Del("Range")
			}
			file(data)(w, r)
		})
		got, err := bundle.Read(t.Context(), open(t, address, quick()), 900, 200)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("whole %v: got %d bytes, %v", whole, len(got), err)
		}
	}
}

// TestForward: a server without ranges sends the file once, however many ranges are read forward.
func TestForward(t *testing.T) {
	data := content(7, 200_000)
	address, requests := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		file(data)(w, r)
	})
	h := open(t, address, quick())
	for _, at := range []int64{0, 512, 600, 9000, 150_000} {
		got, err := bundle.Read(t.Context(), h, at, 70)
		if err != nil || !bytes.Equal(got, data[at:at+70]) {
			t.Errorf("at %d: %v", at, err)
		}
	}
	if requests() != 1 {
		t.Errorf("got %d requests, want 1", requests())
	}
	if got, err := bundle.Read(t.Context(), h, 100, 70); err != nil || !bytes.Equal(got, data[100:170]) || requests() != 2 {
		t.Errorf("backward: %v, %d requests, want 2", err, requests())
	}
}

func TestInterrupted(t *testing.T) {
	address, _ := serve(t, func(n int, w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, stop)
	if _, err := bundle.Read(ctx, open(t, address, quick()), 0, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-99/1000")
	f.Add("bytes */1000")
	f.Add("bytes 1-2/*")
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, err := contentRange(s)
		if err != nil {
			return
		}
		if first < 0 || last < first-1 || total < -1 {
			t.Errorf("%q is %d-%d/%d", s, first, last, total)
		}
	})
}

func TestReader(t *testing.T) {
	data := content(8, 5000)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer s.Close()
	r, err := open(t, s.URL+"/f", quick()).Range(t.Context(), 1000, 3000)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := iotest.TestReader(r, data[1000:4000]); err != nil {
		t.Error(err)
	}
}

// TestK3sByHTTP: the binary is in the bundle's directory.
func TestK3sByHTTP(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/"+K3sName(k3s, "arm64"), []byte("binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.StripPrefix("/some", http.FileServer(http.Dir(dir))))
	defer s.Close()
	h := open(t, s.URL+"/some/a.upgrade?x=1", quick())
	r, size, err := h.K3s(t.Context(), k3s, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || size != 6 || string(got) != "binary" {
		t.Errorf("got %q of %d, %v", got, size, err)
	}
	if _, _, err := h.K3s(t.Context(), k3s, "armhf"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
