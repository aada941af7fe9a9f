package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
)

// drip is a server whose answer comes in pieces, one every half second.
type drip struct{ piece, left int }

func (d *drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, ContentLength: -1, Request: r, Body: io.NopCloser(d)}, nil
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(500 * time.Millisecond)
	n := min(d.piece, d.left, len(p))
	d.left -= n
	return n, nil
}

// A server that never falls silent, and never gets anywhere, is given up; one that is just fast
// enough is not.
func TestDrippingK3s(t *testing.T) {
	for piece, slow := range map[int]bool{1: true, 511: true, 512: false, 4096: false} {
		synctest.Test(t, func(t *testing.T) {
			d, err := getK3s(t.Context(), &http.Client{Transport: &drip{piece, 200 << 10}}, "http://x/k3s", true, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			n, err := io.Copy(io.Discard, d)
			if slow && (err == nil || !strings.Contains(err.Error(), "less than 1024 bytes a second") || n > 64<<10) {
				t.Errorf("%d bytes every half second: %d bytes came, %v", piece, n, err)
			}
			if !slow && (err != nil || n != 200<<10) {
				t.Errorf("%d bytes every half second: %d bytes came, %v", piece, n, err)
			}
		})
	}
}

// answers is a server with one answer for each request.
type answers struct {
	texts []string
	asked []string // the Cache-Control of each request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	text := a.texts[min(len(a.asked), len(a.texts)-1)]
	a.asked = append(a.asked, r.Header.Get("Cache-Control"))
	return &http.Response{StatusCode: 200, ContentLength: -1, Request: r, Body: io.NopCloser(strings.NewReader(text))}, nil
}

// A wrong file is asked for once more, past caches on the way, and no third time.
func TestWrongK3sOnceMore(t *testing.T) {
	sum := sha256.Sum256([]byte("right"))
	for _, c := range []struct {
		texts []string
		asked int
		kind  int
	}{{[]string{"right"}, 1, 0}, {[]string{"wrong", "right"}, 2, 0}, {[]string{"wrong", "wrong too", "right"}, 2, int(fault.Verify)}} {
		cache, err := blockcache.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		a := &answers{texts: c.texts}
		k := K3s{Version: "v1.2.3+k3s1", SHA256: hex.EncodeToString(sum[:]), URL: "https://x/k3s"}
		if _, err := embedK3s(t.Context(), k, &http.Client{Transport: a}, cache, false, nil); fault.Code(err) != c.kind || len(a.asked) != c.asked || a.asked[0] != "" || c.asked > 1 && a.asked[1] != "no-cache" {
			t.Errorf("%q: asked as %q, %v", c.texts, a.asked, err)
		}
	}
}
