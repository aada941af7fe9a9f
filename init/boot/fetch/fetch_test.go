package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imgbuild/init/base/report"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fat"
	"imgbuild/init/settings/sources"
)

func newReporter() report.Reporter {
	return report.Reporter{Console: &report.Console{}, Report: &report.Report{}, Step: "config"}
}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDcmW3PO9b8uSRGf0nZcqNcfVcXXcXcXcXcXcXcXcXcX someone"

// Content that the configuration names elsewhere is fetched, kept, and fetched again only when the
// places change.
func TestFollow(t *testing.T) {
	const data = "#cloud-config\nhostname: other\n"
	sum := sha256.Sum256([]byte(data))
	asked := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path == "/keys" {
			_, _ = io.WriteString(w, key+"\n")
			return
		}
		_, _ = io.WriteString(w, data)
	}))
	defer server.Close()
	changed := make(chan bool, 100)
	f := &Fetcher{Store: t.TempDir(), Time: func(context.Context) error { return nil }, Changed: func() { changed <- true }}
	cfg := &config.Config{SSHAuthorizedKeys: []string{key, server.URL + "/keys"}}
	cfg.K3OS.DataSources = []string{server.URL + "/user-data#sha256=" + hex.EncodeToString(sum[:])}
	reporter := newReporter()
	f.Follow(cfg, reporter)
	got := map[string]bool{<-asked: true, <-asked: true}
	if !got["/keys"] || !got["/user-data"] {
		t.Errorf("asked for %v", got)
	}
	<-changed
	<-changed
	if keys := Keys(f.Store, cfg); len(keys) != 1 || keys[0] != key {
		t.Errorf("keys: got %q", keys)
	}
	if kept := sources.Kept(f.Store, cfg.K3OS.DataSources[0], config.UserDataName); string(kept) != data {
		t.Errorf("data: got %q", kept)
	}
	f.Follow(cfg, reporter) // the same places
	cfg.SSHAuthorizedKeys = []string{key}
	f.Follow(cfg, reporter) // one less, and what is kept of the other has the right sum
	select {
	case path := <-asked:
		t.Errorf("asked for %s again", path)
	default:
	}
	if kept := sources.Kept(f.Store, server.URL+"/keys", sources.KeysFile); len(kept) != 0 {
		t.Errorf("keys of a place that is named no more: %q, want length 0", kept)
	}
	if p := reporter.Report.Problems(); len(p) != 0 {
		t.Errorf("reported %+v, want length 0", p)
	}
}

// A place that does not answer is asked less and less often, and reported once for each reason,
// until it answers or is no longer configured.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waited, changed := 0, 0
		f := &Fetcher{Time: func(context.Context) error { waited++; return nil }, Changed: func() { changed++ }}
		tries, reported := 0, []string(nil)
		try := func() (bool, error) {
			switch tries++; {
			case tries < 3:
				return false, errors.New("no route")
			case tries < 6:
				return false, errors.New("refused")
			}
			return true, nil
		}
		f.until(t.Context(), true, func(err error) { reported = append(reported, err.Error()) }, try)
		time.Sleep(time.Second)
		if tries != 1 {
			t.Errorf("%d tries in a second, want 1", tries)
		}
		time.Sleep(time.Hour)
		if tries != 6 || changed != 1 || waited != 1 || strings.Join(reported, ", ") != "no route, refused" {
			t.Errorf("%d tries, %d changes, waited %d times, reported %q", tries, changed, waited, reported)
		}
		ctx, stop := context.WithCancel(t.Context())
		f.until(ctx, false, func(error) {}, func() (bool, error) { tries++; return false, errors.New("no") })
		time.Sleep(time.Minute)
		stop()
		synctest.Wait()
		before := tries
		time.Sleep(time.Hour)
		if tries != before {
			t.Errorf("it goes on after it was stopped: got %v, want %v", tries, before)
		}
	})
}

// The disk called CIDATA is waited for, read, and kept.
func TestVolume(t *testing.T) {
	root, store := t.TempDir(), t.TempDir()
	p := sources.Prober{Sys: root + "/sys", Dev: root + "/dev"}
	for _, dir := range []string{p.Sys + "/class/block/sda1", p.Dev} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	reporter := newReporter()
	synctest.Test(t, func(t *testing.T) {
		if read(p, store, volumeLimit, reporter) {
			t.Error("something came from nowhere")
		}
		if got := reporter.Report.Problems(); len(got) != 1 || got[0].What != "no disk is called CIDATA" {
			t.Errorf("reported %+v", got)
		}
		if read(p, store, volumeAgain, newReporter()) { // a node that knows what was on it goes on with that
			t.Error("something came from nowhere")
		}
	})
	const text = "#cloud-config\nhostname: stick\n"
	v := fat.Volume{Label: "CIDATA", ID: 7, Size: 64 << 20, ClusterSize: 512, Files: []fat.File{{Path: "user-data", Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}}}
	f, err := os.Create(filepath.Join(p.Dev, "sda1"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(v.Size), v.Write(f)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} { // the second time it is no news
		if got := read(p, store, volumeLimit, newReporter()); got != want {
			t.Errorf("changed: got %v, want %v", got, want)
		}
	}
	if kept := sources.Kept(store, sources.Volume, config.UserDataName); string(kept) != text {
		t.Errorf("kept %q, want %q", kept, text)
	}
	cfg := &config.Config{}
	if Volume(cfg, store, nil, reporter) {
		t.Error("a disk that nobody names was read")
	}
}
