package k3s

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/net/proxy"
	"imgbuild/init/supervise"
)

// origin serves one file; trouble may take over a request.
type origin struct {
	*httptest.Server
	data     []byte
	mu       sync.Mutex
	requests []string // Range headers
	trouble  func(n int, w http.ResponseWriter, r *http.Request) bool
}

func newOrigin(t *testing.T, size int) (*origin, *manifest.K3s) {
	o := &origin{data: make([]byte, size)}
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(o.data)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests = append(o.requests, r.Header.Get("Range"))
		n := len(o.requests)
		o.mu.Unlock()
		if o.trouble != nil && o.trouble(n, w, r) {
			return
		}
		http.ServeContent(w, r, "k3s", time.Unix(1, 0), bytes.NewReader(o.data))
	}))
	t.Cleanup(o.Close)
	sum := sha256.Sum256(o.data)
	return o, &manifest.K3s{Version: "v1.35.0+k3s1", Source: "firstboot", SHA256: hex.EncodeToString(sum[:]), URL: o.URL + "/k3s", Size: int64(size)}
}

func newStore(t *testing.T) store {
	cfg := &config.Config{}
	return store{dir: filepath.Join(t.TempDir(), "k3s"), client: proxy.Client(func() map[string]string { return cfg.K3OS.Environment }), retry: time.Millisecond, wrong: time.Millisecond, stall: time.Minute}
}

func locate(t *testing.T, s store, k *manifest.K3s) (string, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var said []string
	path, err := s.locate(ctx, k, func(kind supervise.Wait, text string) {
		if outside := strings.Contains(text, "trying again"); outside != (kind == supervise.Outside) {
			t.Errorf("%q is reported as the kind %v of waiting", text, kind)
		}
		said = append(said, text)
	})
	if err != nil {
		t.Fatalf("%v; it printed %q", err, said)
	}
	return path, said
}

func checkBinary(t *testing.T, s store, k *manifest.K3s, path string) {
	t.Helper()
	if want := filepath.Join(s.dir, k.Version, "k3s"); path != want {
		t.Errorf("path %s, want %v", path, want)
	}
	if sum, err := sumFile(path); err != nil || sum != k.SHA256 {
		t.Errorf("%s, %v, want %v", sum, err, k.SHA256)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", st, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*", "*.part")); len(left) != 0 {
		t.Errorf("left %v, want length 0", left)
	}
}

func TestFetch(t *testing.T) {
	o, k := newOrigin(t, 1<<20)
	s := newStore(t)
	path, _ := locate(t, s, k)
	checkBinary(t, s, k, path)
	locate(t, s, k) // is there: no further request
	if len(o.requests) != 1 {
		t.Errorf("%d requests, want 1", len(o.requests))
	}
	// A file that was damaged on the card is fetched again.
	if err := os.WriteFile(path, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	path, _ = locate(t, s, k)
	checkBinary(t, s, k, path)
	// Without a size in the manifest it works as well.
	s2, k2 := newStore(t), *k
	k2.Size = 0
	path, _ = locate(t, s2, &k2)
	checkBinary(t, s2, &k2, path)
}

// Whatever a network does, in the end there is the right file, and nothing is fetched twice that
// need not be.
func TestFetchThroughTrouble(t *testing.T) {
	const size = 1 << 20
	cut := func(w http.ResponseWriter, data []byte, from, n int) {
		w.Header().Set("Content-Length", strconv.Itoa(size-from))
		if from > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, size-1, size))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(data[from : from+n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	o, k := newOrigin(t, size)
	o.trouble = func(n int, w http.ResponseWriter, r *http.Request) bool {
		switch n {
		case 1:
			http.Error(w, "later", http.StatusServiceUnavailable)
		case 2:
			cut(w, o.data, 0, 300_000)
		case 3:
			cut(w, o.data, from(r), 200_000)
		default:
			return false
		}
		return true
	}
	s := newStore(t)
	path, said := locate(t, s, k)
	checkBinary(t, s, k, path)
	if got := strings.Join(o.requests, "|"); got != "||bytes=300000-|bytes=500000-" {
		t.Errorf("requests %s", got)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "k3s v1.35.0+k3s1 could not be fetched, trying again in") || !strings.Contains(all, "503 Service Unavailable") {
		t.Errorf("said\n%s", all)
	}
}

func from(r *http.Request) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"))
	return n
}

// A portal's page, another file of the same size, a file of another size, and a server that cannot
// resume.
func TestFetchWrongContent(t *testing.T) {
	o, k := newOrigin(t, 100_000)
	o.trouble = func(n int, w http.ResponseWriter, r *http.Request) bool {
		switch n {
		case 1:
			fmt.Fprint(w, "<html>please log in</html>")
		case 2:
			_, _ = w.Write(bytes.Repeat([]byte{7}, 100_000))
		case 3: // half of the right one
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(o.data[:50_000])
		case 4: // "go on" answered from another place
			w.Header().Set("Content-Range", "bytes 0-99999/100000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(o.data)
		case 5:
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(o.data[:60_000])
		case 6: // ignores the range
			_, _ = w.Write(o.data)
		default:
			return false
		}
		return true
	}
	s := newStore(t)
	path, said := locate(t, s, k)
	checkBinary(t, s, k, path)
	all := strings.Join(said, "\n")
	for _, want := range []string{"has a file of 26 bytes", "is not k3s v1.35.0+k3s1: 100000 bytes with the sha256", "cannot go on at byte 50000"} {
		if !strings.Contains(all, want) {
			t.Errorf("never printed %q:\n%s", want, all)
		}
	}
	if len(o.requests) != 6 {
		t.Errorf("requests %q, want length 6", o.requests)
	}
}

func TestFetchStalls(t *testing.T) {
	o, k := newOrigin(t, 100_000)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	o.trouble = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(o.data[:10])
		w.(http.Flusher).Flush()
		<-release
		return true
	}
	s := newStore(t)
	s.stall = 50 * time.Millisecond
	path, said := locate(t, s, k)
	checkBinary(t, s, k, path)
	if !strings.Contains(strings.Join(said, "\n"), "nothing came for 50ms") {
		t.Errorf("printed %q", said)
	}
}

func TestFetchStopped(t *testing.T) {
	o, k := newOrigin(t, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	o.trouble = func(int, http.ResponseWriter, *http.Request) bool { cancel(); panic(http.ErrAbortHandler) }
	if _, err := newStore(t).locate(ctx, k, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLocateBadManifest(t *testing.T) {
	_, good := newOrigin(t, 10)
	for want, spoil := range map[string]func(*manifest.K3s){
		"is not a version":      func(k *manifest.K3s) { k.Version = "../../etc" },
		"has no checksum":       func(k *manifest.K3s) { k.SHA256 = "" },
		"there is no address":   func(k *manifest.K3s) { k.URL = "" },
		`k3s "", which is no`:   func(k *manifest.K3s) { k.Version = "" },
		`k3s "v1/x", which is`:  func(k *manifest.K3s) { k.Version = "v1/x" },
		"has no checksum for k": func(k *manifest.K3s) { k.SHA256 = strings.Repeat("z", 64) },
	} {
		k := *good
		spoil(&k)
		if _, err := newStore(t).locate(t.Context(), &k, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

// Two versions are kept; the third is removed, and a rollback finds its own without a network.
func TestKeepTwo(t *testing.T) {
	o, k := newOrigin(t, 1000)
	s := newStore(t)
	versions := func() string {
		var list []string
		entries, _ := os.ReadDir(s.dir)
		for _, e := range entries {
			if e.IsDir() {
				list = append(list, e.Name())
			}
		}
		current, _ := os.Readlink(filepath.Join(s.dir, "current"))
		previous, _ := os.Readlink(filepath.Join(s.dir, "previous"))
		return strings.Join(list, " ") + " current " + current + " previous " + previous
	}
	at := func(v string) *manifest.K3s { c := *k; c.Version = v; return &c }
	for _, c := range []struct{ version, want string }{
		{"v1.1", "v1.1 current v1.1 previous "},
		{"v1.1", "v1.1 current v1.1 previous "},
		{"v1.2", "v1.1 v1.2 current v1.2 previous v1.1"},
		{"v1.3", "v1.2 v1.3 current v1.3 previous v1.2"},
		{"v1.2", "v1.2 v1.3 current v1.2 previous v1.3"},
	} {
		locate(t, s, at(c.version))
		if got := versions(); got != c.want {
			t.Errorf("after %s: %s, want %s", c.version, got, c.want)
		}
	}
	if len(o.requests) != 3 {
		t.Errorf("%d requests, want 3", len(o.requests))
	}
}

// A wrong content is asked for ever less often, for hours, apart from what the network does; the
// word has the time.
func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		first, last time.Duration
		n           int
		want        time.Duration
	}{
		{firstRetry, lastRetry, 0, 5 * time.Second}, {firstRetry, lastRetry, 3, 40 * time.Second}, {firstRetry, lastRetry, 1000, 5 * time.Minute},
		{firstWrong, lastWrong, 0, 5 * time.Minute}, {firstWrong, lastWrong, 4, 80 * time.Minute}, {firstWrong, lastWrong, 1000, 12 * time.Hour},
	} {
		if got := backoff(c.first, c.last, c.n); got != c.want {
			t.Errorf("%v to %v, failure %d: got %v, want %v", c.first, c.last, c.n, got, c.want)
		}
	}
	o, k := newOrigin(t, 1000)
	o.trouble = func(n int, w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write(bytes.Repeat([]byte{7}, 1000))
		return true
	}
	s := newStore(t)
	s.wrong = firstWrong
	ctx, cancel := context.WithCancel(t.Context())
	var said string
	if _, err := s.locate(ctx, k, func(_ supervise.Wait, text string) { said = text; cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(said, "trying again in 5m0s: what 127.0.0.1") || !strings.Contains(said, "is not k3s v1.35.0+k3s1: 1000 bytes with the sha256") {
		t.Errorf("printed %q", said)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*", "*")); len(left) != 0 {
		t.Errorf("left %v, want length 0", left)
	}
}

// A download without an end is cut at the largest size of a k3s, and unfinished downloads of other
// versions are removed.
func TestFetchIsBounded(t *testing.T) {
	o, k := newOrigin(t, 100_000)
	s := newStore(t)
	for _, file := range []string{"v1.1/k3s", "v1.2/k3s", "v1.3/k3s.part", "v1.4/k3s.part"} {
		put(t, filepath.Join(s.dir, file), "whole or half")
	}
	put(t, filepath.Join(s.dir, k.Version, "k3s.part"), "")
	part, err := os.Open(filepath.Join(s.dir, k.Version, "k3s.part")) // seen through it also when its name is gone
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	for name, target := range map[string]string{"current": "v1.1", "previous": "v1.2"} {
		if err := os.Symlink(target, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o.trouble = func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.(http.Flusher).Flush() // chunked: no length
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				break
			}
		}
		return true
	}
	path, _ := locate(t, s, k)
	checkBinary(t, s, k, path)
	if st, err := part.Stat(); err != nil || st.Size() != k.Size+1 {
		t.Errorf("%v bytes on the card, %v, want %d", st.Size(), err, k.Size+1)
	}
	var dirs []string
	all, _ := os.ReadDir(s.dir)
	for _, e := range all {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	if got := strings.Join(dirs, " "); got != "v1.1 v1.35.0+k3s1" {
		t.Errorf("kept %s", got)
	}
}
