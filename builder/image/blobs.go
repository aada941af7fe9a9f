package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
)

// Blobs is the source of the vendor's unlicensed boot blobs: the pinned address (the zero
// value), a directory of the user's, or nowhere.
type Blobs struct {
	Dir  string
	Skip bool
}

// Check reports whether the user's directory, if there is one, has these blobs, before anything is
// fetched for them.
func (b Blobs) Check(raws []boards.Raw) error {
	if b.Dir == "" {
		return nil
	}
	for _, raw := range raws {
		if raw.Package != "" {
			continue
		}
		if _, err := b.Get(context.Background(), nil, raw); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a blob's bytes, verified; nil if blobs are skipped. The error names file, address,
// sum and every way out.
func (b Blobs) Get(ctx context.Context, cache *blockcache.Cache, raw boards.Raw) ([]byte, error) {
	if b.Skip {
		return nil, nil
	}
	fix := fmt.Sprintf("fetch it from %s (sha256 %s) and build with blobs=DIR, or build with blobs=skip for a card that carries the blobs already and for QEMU", raw.URL, raw.SHA256)
	var sum [32]byte
	if n, err := hex.Decode(sum[:], []byte(raw.SHA256)); err != nil || n != len(sum) {
		return nil, fmt.Errorf("boards: %s has no proper sha256", raw.Name)
	}
	if b.Dir != "" {
		data, err := os.ReadFile(filepath.Join(b.Dir, raw.Name))
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, fix, "boot blob %s", raw.Name)
		}
		return data, checkBlob(data, raw, fix)
	}
	if f, ok := cache.Blob(sum); ok {
		defer f.Close()
		return io.ReadAll(f)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw.URL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, fix, "boot blob %s", raw.Name)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fault.New(fault.Network, fix, "boot blob %s: the server answers %s", raw.Name, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, raw.Size+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, fix, "boot blob %s", raw.Name)
	}
	if err := checkBlob(data, raw, fix); err != nil {
		return nil, err
	}
	if _, err := cache.PutBlob(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	return data, nil
}

func checkBlob(data []byte, raw boards.Raw, fix string) error {
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != raw.SHA256 {
		return fault.New(fault.Verify, fix, "boot blob %s has the sha256 %x", raw.Name, sum)
	}
	return nil
}
