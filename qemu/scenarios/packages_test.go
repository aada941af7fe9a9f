package scenarios

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"testing"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/images"
	"imgbuild/qemu/tool"
)

// TestPackagesLikeDpkg compares the data of each package of a lock with what dpkg-deb makes of it.
// Packages that the archive has lost since are left out.
func TestPackagesLikeDpkg(t *testing.T) {
	t.Parallel()
	lock, err := debian.ParseLock("the embedded lock", images.Lock("rpi64", "k3s"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := blockcache.Open("")
	if err != nil {
		t.Fatal(err)
	}
	mirrors, err := mirrorsOfHost()
	if err != nil {
		t.Fatal(err)
	}
	client := debian.NewClient(debian.Options{Cache: cache, Mirrors: mirrors})
	if err := client.Fetch(t.Context(), lock.Packages); err != nil {
		var missing *debian.NotFound
		if !errors.As(err, &missing) {
			t.Fatal(err)
		}
		lock.Packages = slices.DeleteFunc(lock.Packages, func(p debian.Locked) bool { return slices.Contains(missing.Packages, p) })
	}
	for _, p := range lock.Packages {
		sum, err := hex.DecodeString(p.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := cache.Blob([32]byte(sum))
		if !ok {
			t.Fatalf("%s is not in the cache", p.Name)
		}
		defer f.Close()
		cmd, err := tool.Command(t.Context(), "dpkg-deb", "--fsys-tarfile", f.Name())
		if err != nil {
			t.Fatal(err)
		}
		want := sha256.New()
		cmd.Stdout = want
		if err := cmd.Run(); err != nil {
			t.Fatalf("dpkg-deb, %s: %v", p.Name, err)
		}
		// Not from the cache of decoded data.
		d, err := debian.OpenDeb(f)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		plain, release, err := d.Data()
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		got := sha256.New()
		n, err := io.Copy(got, plain)
		release()
		if err != nil || string(got.Sum(nil)) != string(want.Sum(nil)) {
			t.Errorf("%s: %d bytes, %v: not what dpkg-deb makes of it", p.Name, n, err)
		}
	}
	if len(lock.Packages) < 50 {
		t.Errorf("the lock has %d packages", len(lock.Packages))
	}
}
