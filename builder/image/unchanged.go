package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"aead.dev/minisign"
)

// outcome is what a finished build left, as it is noted in the cache.
type outcome struct {
	Result   Result
	ImageSum string
	Files    map[string]stamp
}

// stamp is how a file looks without reading it.
type stamp struct {
	Size, Inode, MTime, CTime int64 // bytes, number, nanoseconds
	Mode                      uint32
}

func stampOf(name string) (stamp, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return stamp{}, &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	return stamp{st.Size, int64(st.Ino), st.Mtim.Nano(), st.Ctim.Nano(), st.Mode}, nil
}

// noteKey names everything that the outcome depends on; empty where that is more than can be
// compared without reading it.
func (b *build) noteKey() (string, error) {
	if b.Node != nil || b.AirGap != nil {
		return "", nil
	}
	own, err := ownSum()
	if err != nil {
		return "", err
	}
	out, err := filepath.Abs(b.Out)
	if err != nil {
		return "", err
	}
	public := ""
	if b.Key != nil {
		public = b.Key.Public().(minisign.PublicKey).String()
	}
	key, err := json.Marshal([]any{own, b.Recipe.Hash(), b.version, b.result.Name, sha256.Sum256(b.Config), b.Config == nil, b.Login, b.Blobs, b.ImageOnly, out, public, b.Warnings})
	return "built 1 " + string(key), err
}

// unchanged returns the result of an earlier build of the same, whose files are all there as it
// left them; nil if there is none.
func (b *build) unchanged(key string) *Result {
	data, ok := b.Cache.Note(key)
	var was outcome
	if !ok || json.Unmarshal(data, &was) != nil || len(was.Files) == 0 {
		return nil
	}
	for name, want := range was.Files {
		if got, err := stampOf(name); err != nil || got != want {
			return nil
		}
	}
	r := &was.Result
	if !b.ImageOnly {
		sums, err := os.ReadFile(filepath.Join(b.Out, SumsName))
		if err != nil || !slices.Contains(strings.Split(string(sums), "\n"), was.ImageSum+"  "+r.Name+".img") {
			return nil
		}
	}
	// It is the image that was built last, as for one that was written again.
	now := time.Now()
	if os.Chtimes(r.Image, now, now) != nil {
		return nil
	}
	r.Steps = nil
	b.imageSum = was.ImageSum
	b.note(key, r)
	return r
}

// note keeps what a build left. That it cannot is no reason to fail: the next one makes it again.
func (b *build) note(key string, r *Result) {
	was := outcome{Result: *r, ImageSum: b.imageSum, Files: map[string]stamp{}}
	for _, name := range r.Files {
		if strings.HasPrefix(filepath.Base(name), SumsName) {
			continue // builds of other images change it
		}
		st, err := stampOf(name)
		if err != nil {
			return
		}
		was.Files[name] = st
	}
	if data, err := json.Marshal(was); err == nil {
		_ = b.Cache.PutNote(key, data)
	}
}

// cached is run, unless all is there already.
func (b *build) cached(run func() error) (*Result, error) {
	key, err := b.noteKey()
	if err != nil {
		return nil, fmt.Errorf("what this build depends on: %w", err)
	}
	if key != "" {
		if r := b.unchanged(key); r != nil {
			return r, nil
		}
	}
	if err := run(); err != nil {
		return nil, err
	}
	if key != "" {
		b.note(key, &b.result)
	}
	return &b.result, nil
}
