package k3s

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/net/proxy"
)

// Stage brings the k3s of another slot into the store before that slot is tried. The versions of
// the running slot and of the wanted one are kept, others are removed. k3s' own start makes the
// wanted one current.
type Stage struct {
	Dir     string // StoreDir
	Running string // version of the running slot's k3s; empty for none
	Config  func() *config.Config
	// Open opens the binary that comes with the upgrade, and returns its size. An error that is
	// fs.ErrNotExist means that none comes with it.
	Open func(ctx context.Context) (io.ReadCloser, int64, error)
	Say  func(done, total int64) // progress in bytes; total 0 where it is not known
}

// Bring returns nil when the store has exactly k, checked and on the disk. A k3s that does not come
// with the upgrade is fetched from the address in the slot's manifest, once.
func (s Stage) Bring(ctx context.Context, k *manifest.K3s) error {
	const fix = "lay the binary next to the bundle, or build the image with k3s=FILE"
	if want, err := hex.DecodeString(k.SHA256); err != nil || len(want) != sha256.Size || !safeVersion().MatchString(k.Version) {
		return fault.New(fault.Verify, "build the image again", "the bundle names no k3s that can be checked: version %q, sha256 %q", k.Version, k.SHA256)
	}
	binary := filepath.Join(s.Dir, k.Version, "k3s")
	if sum, err := sumFile(binary); err == nil && sum == k.SHA256 {
		return nil
	}
	if err := s.prune(k.Version); err != nil {
		return fault.Wrap(err, fault.Device, "", "the store of k3s")
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return fault.Wrap(err, fault.Device, "", "the store of k3s")
	}
	r, size, err := s.Open(ctx)
	switch {
	case err == nil:
		err = s.take(ctx, k, r, size, binary)
		return errors.Join(err, r.Close())
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("k3s %s: %w", k.Version, err)
	case k.URL == "":
		return fault.New(fault.Input, fix, "k3s %s, which the new system needs, comes with no part of the upgrade", k.Version)
	}
	net := store{dir: s.Dir, client: proxy.Client(func() map[string]string { return s.Config().K3OS.Environment }), stall: stalled}
	return fault.Wrap(net.fetch(ctx, k, binary, func(string) {}), fault.Network, fix, "k3s %s, which the new system needs, could not be fetched", k.Version)
}

// Stored returns nil when the store in dir has exactly k, whole.
func Stored(dir string, k *manifest.K3s) error {
	if !safeVersion().MatchString(k.Version) {
		return fault.New(fault.Verify, "", "%q is not a version of k3s", k.Version)
	}
	if sum, err := sumFile(filepath.Join(dir, k.Version, "k3s")); err != nil || sum != k.SHA256 {
		return fault.New(fault.Device, "install the upgrade to that system again instead", "k3s %s, which the other system needs, is not on this node any more", k.Version)
	}
	return nil
}

// prune removes the versions that neither slot will need.
func (s Stage) prune(wanted string) error {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && safeVersion().MatchString(name) && !slices.Contains([]string{wanted, s.Running}, name) {
			if err := os.RemoveAll(filepath.Join(s.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// take copies r to path and checks it. Under its final name it is whole and right.
func (s Stage) take(ctx context.Context, k *manifest.K3s, r io.Reader, size int64, path string) (err error) {
	if size > sizeLimit(k) || k.Size > 0 && size != k.Size {
		return fault.New(fault.Verify, "take the file of this version", "the file for k3s %s has %d bytes, not %d", k.Version, size, sizeLimit(k))
	}
	part := path + ".part" // as fetch has it: what a power cut leaves is not a k3s
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "the store of k3s")
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(part)
		}
	}()
	sum, done, buf := sha256.New(), int64(0), make([]byte, 256<<10)
	for done < size {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, rerr := r.Read(buf[:min(int64(len(buf)), size-done)])
		sum.Write(buf[:n])
		if _, err := f.Write(buf[:n]); err != nil {
			return fault.Wrap(err, fault.Device, "look whether the data partition is full", "the store of k3s")
		}
		if done += int64(n); s.Say != nil {
			s.Say(done, size)
		}
		if rerr != nil && done < size {
			if rerr == io.EOF {
				rerr = io.ErrUnexpectedEOF
			}
			return fault.Wrap(rerr, fault.Network, "run it again", "k3s %s, after %d of %d bytes", k.Version, done, size)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != k.SHA256 {
		return fault.New(fault.Verify, "take the file of this version", "the file for k3s %s has the sha256 %s, the slot's manifest has %s", k.Version, got, k.SHA256)
	}
	if err := errors.Join(f.Chmod(0o755), f.Sync()); err != nil {
		return fault.Wrap(err, fault.Device, "", "the store of k3s")
	}
	if err := atomicfile.Rename(part, path); err != nil {
		return fault.Wrap(err, fault.Device, "", "the store of k3s")
	}
	return atomicfile.SyncDir(s.Dir)
}
