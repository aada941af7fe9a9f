package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
)

// large adds a package of about 1 MB that does not compress.
func large(a *archive) Locked {
	noise := make([]byte, 1<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	rnd.Read(noise)
	return a.add("debian/trixie", "large", "1", "", nil, map[string]string{"noise": string(noise)})
}

func cut(w http.ResponseWriter, file []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(file)))
	w.Write(file[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func fetch1(c *Client, l Locked) error { return c.Fetch(context.Background(), []Locked{l}) }

func TestDownloadIsResumed(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	var ranges []string
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			cut(w, file, 600<<10)
		}
		return false
	})
	c := a.client()
	var last int64
	c.Progress = func(_ string, done, total int64) {
		if done < 0 || done > total {
			t.Errorf("%d of %d", done, total)
		}
		last = done
	}
	if err := fetch1(c, l); err != nil {
		t.Fatal(err)
	}
	if len(ranges) != 2 || ranges[0] != "" || ranges[1] == "" || last != l.Size {
		t.Fatal(ranges, last, l.Size)
	}
}

func TestNextRunResumes(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool { cut(w, file, 1000); return true })
	c := a.client()
	err := fetch1(c, l)
	wantFault(t, err, fault.Network, "broke off", "of "+fmt.Sprint(l.Size)+" bytes")
	if n := a.hit("/debian/" + l.Pool); n != tries {
		t.Fatalf("%d tries, want %v", n, tries)
	}
	var from string
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		from = r.Header.Get("Range")
		return false
	})
	if err := fetch1(c, l); err != nil || from == "" {
		t.Fatal(err, from)
	}
	if got := tarNames(t, c, l, func(string) bool { return false }); got != "" {
		t.Fatal(got)
	}
}

// TestResumeAgainstOddServers: a part of another file, servers that ignore, refuse or confuse
// ranges.
func TestResumeAgainstOddServers(t *testing.T) {
	for name, hook := range map[string]func(w http.ResponseWriter, r *http.Request, file []byte) bool{
		"honest":         nil, // continues after the part, and what comes out is not the file
		"longer":         nil,
		"ignores ranges": func(w http.ResponseWriter, r *http.Request, file []byte) bool { w.Write(file); return true },
		"refuses ranges": func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		},
		"another range": func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(file)-1, len(file)))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(file)
				return true
			}
			return false
		},
		"no lengths": func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			w.(http.Flusher).Flush()
			w.Write(file)
			return true
		},
	} {
		for _, part := range []string{"of another file", ""} {
			a := newArchive(t)
			l := large(a)
			c := a.client()
			sum, _ := parseSum(l.SHA256)
			p, err := c.Cache.Partial(context.Background(), sum)
			if err != nil {
				t.Fatal(err)
			}
			p.Write([]byte(part))
			if name == "longer" && part != "" {
				p.Write(make([]byte, l.Size)) // longer than the whole file
			}
			p.Close()
			a.intercept(hook)
			if err := fetch1(c, l); err != nil {
				t.Errorf("%s, %q: %v", name, part, err)
			}
		}
	}
}

func TestTransientAnswersAreTriedAgain(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	var n atomic.Int32
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		if n.Add(1) < tries {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if err := fetch1(a.client(), l); err != nil {
		t.Fatal(err)
	}
	n.Store(-100)
	err := fetch1(a.client(), l)
	wantFault(t, err, fault.Network, "503", "mirror=URL")
	n.Store(0)
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		n.Add(1)
		http.Error(w, "no", http.StatusForbidden)
		return true
	})
	err = fetch1(a.client(), l)
	wantFault(t, err, fault.Network, "403")
	if n.Load() != 1 {
		t.Fatalf("403 was tried %d times, want 1", n.Load())
	}
}

func TestWrongFileIsNotKept(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	good := a.files["/debian/"+l.Pool]
	c := a.client()
	for name, bad := range map[string][]byte{
		"altered": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "shorter": good[:1000], "longer": append(bytes.Clone(good), 'x'),
	} {
		a.set("/debian/"+l.Pool, bad)
		a.intercept(nil)
		err := fetch1(c, l)
		wantFault(t, err, fault.Verify, "is not the file it should be")
		// The same without a length given beforehand.
		a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
			w.(http.Flusher).Flush()
			w.Write(file)
			return true
		})
		err = fetch1(c, l)
		if code := fault.Code(err); code != int(fault.Verify) && !(name == "shorter" && code == int(fault.Network)) {
			t.Fatal(name, err)
		}
		sum, _ := parseSum(l.SHA256)
		if _, ok := c.Cache.Blob(sum); ok {
			t.Fatal("a wrong file is in the cache")
		}
	}
	a.set("/debian/"+l.Pool, good)
	a.intercept(nil)
	if err := fetch1(c, l); err != nil {
		t.Fatal(err)
	}
}

func TestSilence(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	a.publish("debian/trixie", releaseOptions{})
	release := make(chan bool)
	defer close(release)
	c := a.client()
	c.Stall = 50 * time.Millisecond
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool { <-release; return true })
	err := fetch1(c, l)
	wantFault(t, err, fault.Network, "did not answer for 50ms")
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		w.Write(file[:100])
		w.(http.Flusher).Flush()
		<-release
		return true
	})
	err = fetch1(c, l)
	wantFault(t, err, fault.Network, "did not answer for 50ms")
	_, err = a.index(c)
	wantFault(t, err, fault.Network, "did not answer for 50ms")
}

func TestRefusedAndUnresolved(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	c := a.client()
	a.srv.Close()
	err := fetch1(c, l)
	wantFault(t, err, fault.Network, "refuses connections", "mirror=URL")
	c.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "mirror.example", IsNotFound: true}}
	}}}
	c.Mirrors.Main = "http://mirror.example/debian"
	_, err = a.index(c)
	wantFault(t, err, fault.Network, "mirror.example cannot be resolved")
}

func TestInterrupt(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan bool)
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		w.Write(file[:200<<10])
		w.(http.Flusher).Flush()
		cancel()
		<-release
		return true
	})
	c := a.client()
	err := c.Fetch(ctx, []Locked{l})
	close(release)
	wantFault(t, err, fault.Interrupted)
	a.intercept(nil)
	if err := fetch1(c, l); err != nil {
		t.Fatal(err)
	}
	if err := c.Fetch(ctx, []Locked{large(a)}); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestFullDisk lowers the limit of file sizes, which gives EFBIG where a full disk gives ENOSPC:
// the same path.
func TestFullDisk(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	dir := filepath.Join(t.TempDir(), "cache")
	cache, err := blockcache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := a.client()
	c.Cache = cache
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 100 << 10, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err = fetch1(c, l)
	if e := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); e != nil {
		t.Fatalf("got %v, want nil", e)
	}
	wantFault(t, err, fault.Device, "cannot be written", "cache=DIR")
	if n := a.hit("/debian/" + l.Pool); n != 1 {
		t.Errorf("a full disk was tried %d times, want 1", n)
	}
	if list, _ := os.ReadDir(filepath.Join(dir, "blob")); len(list) != 0 {
		t.Errorf("blob holds %v, want length 0", list)
	}
	if err := fetch1(c, l); err != nil {
		t.Fatal(err)
	}
}

func TestParallelFetch(t *testing.T) {
	a := newArchive(t)
	var list []Locked
	for i := range 12 {
		list = append(list, a.add("debian/trixie", fmt.Sprintf("p%d", i), "1", "", nil, map[string]string{"x": fmt.Sprint(i)}))
	}
	var now, most atomic.Int32
	four := make(chan bool)
	a.intercept(func(w http.ResponseWriter, r *http.Request, file []byte) bool {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		if n == parallel {
			select {
			case <-four:
			default:
				close(four)
			}
		}
		<-four // no request is answered before four are open
		return false
	})
	if err := a.client().Fetch(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	if most.Load() != parallel {
		t.Fatalf("%d at once, want %v", most.Load(), parallel)
	}
}

func TestTwoClientsOneCache(t *testing.T) {
	a := newArchive(t)
	l := large(a)
	c := a.client()
	other, err := blockcache.Open(c.Cache.Dir())
	if err != nil {
		t.Fatal(err)
	}
	d := NewClient(Options{Cache: other, Mirrors: c.Mirrors, Keyring: c.Keyring})
	errs := make(chan error)
	for _, client := range []*Client{c, d} {
		go func() { errs <- fetch1(client, l) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := a.hit("/debian/" + l.Pool); n != 1 {
		t.Fatalf("fetched %d times, want 1", n)
	}
}

func TestErrorsHideThePassword(t *testing.T) {
	c := &Client{}
	err := c.explain("http://user:secret@mirror.example/debian/x", errors.New("boom"))
	if strings.Contains(err.Error(), "secret") {
		t.Fatal(err)
	}
	for _, mirror := range []string{"http://user:secret@[::1/debian", "http://user:sec ret@h/debian", "ftp://user:secret@h/debian", "http://h/debian,ftp://user:secret@h/x", "http://h/debian,http://user:secret%zz@h/x", "user:secret@h", "http://secret@"} {
		if _, err := ParseMirror(mirror); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec ret") {
			t.Errorf("%s: %v", mirror, err)
		}
	}
	a := newArchive(t)
	c = a.client()
	c.Mirrors.Main = strings.Replace(c.Mirrors.Main, "://", "://user:secret@", 1)
	if _, err := c.Index(t.Context(), "arm64", []Suite{{Archive: "debian", Name: "sid", Components: []string{"main"}}}); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "has no suite") {
		t.Errorf("no such suite: %v", err)
	}
}
