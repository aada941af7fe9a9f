package k3s

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/contract/manifest"
)

// liar is a server that answers every request with a wrong content: one of the right size, a page
// of a captive portal, or one without an end.
type liar struct {
	began time.Time
	at    []time.Duration
	bytes int64 // taken from it
	look  func()
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	n := len(l.at)
	l.at = append(l.at, time.Since(l.began))
	l.look()
	var body io.Reader
	switch n % 3 {
	case 0:
		body = bytes.NewReader(make([]byte, 1000))
	case 1:
		body = bytes.NewReader([]byte("<html>log in first</html>"))
	default:
		body = endless{}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, ContentLength: -1,
		Body: io.NopCloser(io.TeeReader(body, (*counter)(&l.bytes)))}, nil
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// TestWrongContentForDays has a node without a k3s ask a server that sends wrong content for a
// week: it asks ever less often, down to twice a day, and neither the card nor the network carries
// more than the size in the manifest for each try. When the server is right again, k3s is there
// with the next one.
func TestWrongContentForDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		s.retry, s.wrong = firstRetry, firstWrong
		right := bytes.Repeat([]byte{7}, 1000)
		sum := sha256.Sum256(right)
		k := &manifest.K3s{Version: "v1.35.0+k3s1", Source: "firstboot", SHA256: hex.EncodeToString(sum[:]), URL: "https://mirror.example/k3s", Size: 1000}
		onCard := func() (n int64) {
			err := filepath.Walk(s.dir, func(_ string, info os.FileInfo, err error) error {
				if err == nil && info.Mode().IsRegular() {
					n += info.Size()
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		l := &liar{began: time.Now()}
		l.look = func() {
			if n := onCard(); n > k.Size+1 {
				t.Errorf("%d bytes are on the card after %d tries, of %d", n, len(l.at), k.Size)
			}
		}
		s.client = &http.Client{Transport: l}
		const week = 7 * 24 * time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), week)
		defer cancel()
		if _, err := s.locate(ctx, k, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if n := len(l.at); n < 14 || n > 24 {
			t.Errorf("it asked %d times in a week, want about 9 on the first day and 2 a day then: %v", n, l.at)
		}
		if last := l.at[len(l.at)-1] - l.at[len(l.at)-2]; last != lastWrong {
			t.Errorf("the last pause is %v, want %v", last, lastWrong)
		}
		// A reader takes a little more than it keeps: its buffer.
		if most := int64(len(l.at)) * (k.Size + 1<<20); l.bytes > most {
			t.Errorf("%d bytes came over the network in %d tries, at most %d are right", l.bytes, len(l.at), most)
		}
		s.client = &http.Client{Transport: answerWith(right)}
		path, err := s.locate(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, right) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}

type answerWith []byte

func (a answerWith) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, ContentLength: int64(len(a)), Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// drip is a server whose answer comes in pieces, one every second.
type drip struct{ piece, left int }

func (d *drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Request: r, Body: io.NopCloser(d)}, nil
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	n := min(d.piece, d.left, len(p))
	d.left -= n
	return n, nil
}

// A server that never falls silent, and never gets anywhere, is given up as one that is silent.
func TestFetchDrips(t *testing.T) {
	for piece, slow := range map[int]bool{1: true, 1000: true, 1100: false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t)
			s.stall, s.client = stalled, &http.Client{Transport: &drip{piece, 200 << 10}}
			right := sha256.Sum256(nil) // the pieces are whatever the buffer has; only the speed matters
			k := &manifest.K3s{Version: "v1.35.0+k3s1", SHA256: hex.EncodeToString(right[:]), URL: "https://mirror.example/k3s", Size: 200 << 10}
			err := s.fetch(t.Context(), k, filepath.Join(t.TempDir(), "k3s"), func(string) {})
			if got := strings.Contains(err.Error(), "bytes a second"); got != slow {
				t.Errorf("%d bytes a second: too slow is %v, want %v: %v", piece, got, slow, err)
			}
		})
	}
}
