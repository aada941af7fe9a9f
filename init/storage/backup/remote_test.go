package backup

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/backup/parts"
	"imgbuild/init/storage/snapshots"
	"imgbuild/qemu/fixtures/sftpd"
)

// cloud is an sftp server that lets a job in as the place "cloud"; its files are in dir. The
// identity reads what is written there.
func cloud(t *testing.T, j *Job) (s *sftpd.Server, dir string, id *backupkey.Identity) {
	t.Helper()
	dir = t.TempDir()
	s = sftpd.Start(t, dir)
	pair, err := backupkey.New()
	if err != nil {
		t.Fatal(err)
	}
	read, err := backupkey.Parse(pair.File)
	if err != nil {
		t.Fatal(err)
	}
	j.partSize = 100_000
	j.Remotes = map[string]config.BackupPlace{"cloud": {URL: "sftp://backup@" + s.Address + "/~/shelf", Recipients: []string{pair.Recipient}, SigningKey: pair.SigningKey}}
	line, err := j.Key()
	if err != nil {
		t.Fatal(err)
	}
	s.Allow(line)
	return s, filepath.Join(dir, "shelf"), &read
}

// A stream that is cut, once or often, by either end, goes on with the part that is missing, also
// when the place has lost one. What is not complete is never listed, and is removed when it is not
// gone on with.
func TestServer(t *testing.T) {
	own := t.TempDir()
	now := noon
	j := &Job{Own: own, Host: "nas", Say: t.Logf, Now: func() time.Time { return now }}
	if err := os.Mkdir(filepath.Join(own, ownDir), 0o700); err != nil {
		t.Fatal(err)
	}
	_, dir, id := cloud(t, j)
	st := State{ID: "nas-1"}
	r := rand.New(rand.NewPCG(11, 6))
	bytesOf := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	open := func() *vault {
		t.Helper()
		v, err := j.open(t.Context(), st, "cloud")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	list := func() []Snap {
		t.Helper()
		v := open()
		defer v.close()
		snaps, err := v.list(t.Context(), "photos")
		if err != nil {
			t.Fatal(err)
		}
		if err := v.prune(t.Context(), "photos", snaps, ""); err != nil {
			t.Fatal(err)
		}
		return snaps
	}
	put := func(sn Snap, base *Snap, r io.Reader) error {
		t.Helper()
		v := open()
		defer v.close()
		return v.put(t.Context(), "photos", sn, base, r)
	}
	if got := list(); len(got) != 0 {
		t.Errorf("an empty place: got %v", got)
	}
	first, whole := day(0), bytesOf(1_234_567)
	for i, cut := range []int64{0, 150_000, 1_000_000} {
		if err := put(first, nil, io.MultiReader(bytes.NewReader(whole[:cut]), broken{})); err == nil {
			t.Errorf("cut after %d: got no error", cut)
		}
		if got := list(); len(got) != 0 {
			t.Errorf("cut after %d: got %v, want nothing complete", cut, got)
		}
		v := open()
		if got := v.pending("photos"); got != first.Name {
			t.Errorf("pending: got %q, want %q", got, first.Name)
		}
		if err := v.close(); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "nas-1/photos", first.Name, "*.age"))
		if want := []int{0, 1, 10}[i]; len(files) != want {
			t.Errorf("cut after %d: %d parts are there, want %d", cut, len(files), want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "nas-1/photos", first.Name, parts.FileOf(7))); err != nil {
		t.Fatal(err)
	}
	if err := put(first, nil, bytes.NewReader(bytesOf(1_234_567))); !errors.Is(err, parts.ErrDiffers) {
		t.Errorf("another stream: got %v, want ErrDiffers", err)
	}
	if err := put(first, nil, bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []Snap{{Name: first.Name, Stream: first.Stream, Whole: true}}) {
		t.Errorf("got %v, want the first one", got)
	}
	// An increment, and one that is given up for a newer one.
	second, third := day(1), day(2)
	if err := put(second, &first, io.MultiReader(bytes.NewReader(whole[:300_000]), broken{})); err == nil {
		t.Error("cut: got no error")
	}
	if err := put(third, &first, bytes.NewReader(whole[:10])); err != nil {
		t.Fatal(err)
	}
	if got := list(); len(got) != 2 || got[1].Name != third.Name {
		t.Errorf("got %v, want the first and the third one", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "nas-1/photos", second.Name)); err == nil {
		t.Error("what was given up is there still")
	}
	// It comes back with the identity, and not when the place has changed it.
	s, err := j.dial(t.Context(), j.Remotes["cloud"])
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, _, err := s.lists("nas-1", "photos", id.Signer)
	if err != nil || len(all) != 2 || all[1].Base != first.Name || all[0].Parts[0].Plain != "" {
		t.Fatalf("got %+v, %v", all, err)
	}
	var back bytes.Buffer
	get := func(i int) (io.ReadCloser, error) {
		return s.Open("nas-1/photos/" + first.Name + "/" + parts.FileOf(i))
	}
	if err := all[0].Read(t.Context(), id.Keys, get, &back); err != nil || !bytes.Equal(back.Bytes(), whole) {
		t.Errorf("got %d bytes, %v, want %d", back.Len(), err, len(whole))
	}
	if err := os.Rename(filepath.Join(dir, "nas-1/photos", third.Name), filepath.Join(dir, "nas-1/photos", day(5).Name)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.lists("nas-1", "photos", id.Signer); fault.Code(err) != int(fault.Verify) {
		t.Errorf("a backup under another name: got %v, want a verify error", err)
	}
	if err := os.Rename(filepath.Join(dir, "nas-1/photos", day(5).Name), filepath.Join(dir, "nas-1/photos", third.Name)); err != nil {
		t.Fatal(err)
	}
	// A chain that is old is not gone on with; of three chains the oldest goes.
	now = noon.Add(chainAge)
	for i := range 2 {
		if got := list(); len(got) != 0 {
			t.Errorf("an old chain is gone on with: %v", got)
		}
		if err := put(Snap{snapshots.Name(now), "w" + string(rune('0'+i)), 1, true}, nil, bytes.NewReader(whole[:10])); err != nil {
			t.Fatal(err)
		}
		if got := list(); len(got) != 1 {
			t.Errorf("the new chain: got %v", got)
		}
		now = now.Add(chainAge)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "nas-1/photos/*")); len(left) != 2 {
		t.Errorf("got %v, want the two newest chains", left)
	}
	if all, err := j.List(t.Context(), "cloud"); err != nil || len(all) != 2 || all[0].Node != "nas-1" || all[0].Share != "photos" {
		t.Errorf("got %v, %v, want two", all, err)
	}
}
