package k3s

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

func TestStage(t *testing.T) {
	data := bytes.Repeat([]byte("k3s"), 100_000)
	sum := sha256.Sum256(data)
	want := &manifest.K3s{Version: "v1.36.0+k3s1", SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/k3s" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	defer web.Close()
	with := func(change func(k *manifest.K3s)) *manifest.K3s { k := *want; change(&k); return &k }
	opened := 0
	from := func(data []byte, size int) func(context.Context) (io.ReadCloser, int64, error) {
		return func(context.Context) (io.ReadCloser, int64, error) {
			opened++
			return io.NopCloser(bytes.NewReader(data)), int64(size), nil
		}
	}
	none := func(context.Context) (io.ReadCloser, int64, error) { return nil, 0, fs.ErrNotExist }
	n := len(data)
	wrong := bytes.Clone(data)
	wrong[77] ^= 1
	for _, c := range []struct {
		name string
		k    *manifest.K3s
		open func(context.Context) (io.ReadCloser, int64, error)
		kind fault.Kind
	}{
		{"comes with it", want, from(data, n), 0},
		{"of a size that nobody knew", with(func(k *manifest.K3s) { k.Size = 0 }), from(data, n), 0},
		{"a byte is wrong", want, from(wrong, n), fault.Verify},
		{"ends early", want, from(data[:n-1], n), fault.Network},
		{"too short", want, from(data, n-1), fault.Verify},
		{"too long", want, from(append(data, 1), n+1), fault.Verify},
		{"comes with nothing", want, none, fault.Input},
		{"from its address", with(func(k *manifest.K3s) { k.URL = web.URL + "/k3s" }), none, 0},
		{"not at its address", with(func(k *manifest.K3s) { k.URL = web.URL + "/no" }), none, fault.Network},
		{"a version that is a path", with(func(k *manifest.K3s) { k.Version = "../x" }), from(data, n), fault.Verify},
		{"no sum", with(func(k *manifest.K3s) { k.SHA256 = "" }), from(data, n), fault.Verify},
	} {
		dir := filepath.Join(t.TempDir(), "k3s")
		for _, v := range []string{"v1.34.0+k3s1", "v1.35.0+k3s1"} { // an older one, and the running one
			if err := os.MkdirAll(filepath.Join(dir, v), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		s := Stage{Dir: dir, Running: "v1.35.0+k3s1", Config: func() *config.Config { return &config.Config{} }, Open: c.open}
		err := s.Bring(t.Context(), c.k)
		if fault.Code(err) != int(c.kind) {
			t.Errorf("%s: got %v, want code %d", c.name, err, c.kind)
		}
		path := filepath.Join(dir, want.Version, "k3s")
		got, rerr := os.ReadFile(path)
		if (rerr == nil) != (c.kind == 0) || c.kind == 0 && !bytes.Equal(got, data) {
			t.Errorf("%s: the store has %d bytes, %v", c.name, len(got), rerr)
		}
		if _, err := os.Stat(filepath.Join(dir, "v1.35.0+k3s1")); err != nil {
			t.Errorf("%s: the running slot's k3s is gone", c.name)
		}
		if c.kind != 0 {
			continue
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v %v", c.name, st, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "v1.34.0+k3s1")); err == nil {
			t.Errorf("%s: a third version is kept", c.name)
		}
		was := opened
		if err := s.Bring(t.Context(), c.k); err != nil || opened != was {
			t.Errorf("%s: again: %v, opened %d times: got %v, want %v", c.name, err, opened-was, opened, was)
		}
	}
}
