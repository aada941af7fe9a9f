package scenarios

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/recipe"
	"imgbuild/images"
)

// pins are the locks of builds with packages= in these tests, next to those that imgbuild carries.
// `make locks` makes them.
const pins = "../testdata/locks"

// committed returns the lock of this repository for a build: the content and, where imgbuild does
// not carry it, the file's name.
func committed(words []string) (data []byte, file string, err error) {
	value := func(key string) string {
		i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, key+"=") })
		if i < 0 {
			return ""
		}
		return words[i][len(key)+1:]
	}
	r, err := recipe.New(value("board"), value("role"), recipe.Choice{})
	if err != nil {
		return nil, "", err
	}
	packages := value("packages")
	if packages == "" {
		return images.Lock(r.Family.Name, r.Slot.Name), "", nil
	}
	first, _, _ := strings.Cut(packages, ",")
	file = filepath.Join(pins, r.Family.Name+"-"+r.Slot.Name+"-"+first+".lock")
	data, err = os.ReadFile(file)
	return data, file, err
}

var withLockMu sync.Mutex

// withLock runs a build in a directory whose imgbuild.lock is the committed lock of its board, role
// and packages, so that a second run needs no network. Where the archive has lost a package of it,
// imgbuild locks the newest ones; that lock is kept in the cache for the next run.
func withLock(program string, words []string, build func(dir string) ([]byte, error)) error {
	data, _, err := committed(words)
	if err != nil {
		return err
	}
	cache, err := blockcache.Default()
	if err != nil {
		return err
	}
	kept := filepath.Join(cache, "tools", "locks", fmt.Sprintf("%x.lock", sha256.Sum256(data)))
	withLockMu.Lock()
	if newer, err := os.ReadFile(kept); err == nil {
		data = newer
	} else if !errors.Is(err, fs.ErrNotExist) {
		withLockMu.Unlock()
		return err
	}
	withLockMu.Unlock()
	dir, err := os.MkdirTemp(work, "lock-")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, recipe.LocalLock), data, 0o600); err != nil {
		return err
	}
	out, err := build(dir)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("the packages were locked again")) {
		return nil
	}
	withLockMu.Lock()
	defer withLockMu.Unlock()
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return err
	}
	args := []string{"lock", "file=" + kept}
	for _, w := range words {
		if strings.HasPrefix(w, "board=") || strings.HasPrefix(w, "role=") || strings.HasPrefix(w, "packages=") {
			args = append(args, w)
		}
	}
	if text, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("keeping the new lock: %w\n%s", err, text)
	}
	return nil
}

// TestLocks: the hashes of maintainer scripts in the committed locks are those that today's code
// makes of the same packages. A lock that was made by other code reports changes that are none.
func TestLocks(t *testing.T) {
	t.Parallel()
	cache, err := blockcache.Open("")
	if err != nil {
		t.Fatal(err)
	}
	mirrors, err := mirrorsOfHost()
	if err != nil {
		t.Fatal(err)
	}
	client := debian.NewClient(debian.Options{Cache: cache, Mirrors: mirrors})
	seen := map[string]bool{}
	for _, family := range boards.Families() {
		for _, slot := range images.Slots() {
			data := images.Lock(family.Name, slot)
			if data == nil && !serves(t, family.Name, slot) {
				continue
			}
			if data == nil {
				t.Errorf("there is no lock of %s %s", family.Name, slot)
				continue
			}
			l, err := debian.ParseLock(images.LockName(family.Name, slot), data)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Fetch(t.Context(), l.Packages); err != nil {
				var missing *debian.NotFound
				if !errors.As(err, &missing) {
					t.Fatal(err)
				}
				gone := missing.Packages
				t.Logf("%s: the archive has lost %d of %d packages; the others are looked at", images.LockName(family.Name, slot), len(gone), len(l.Packages))
				l.Packages = slices.DeleteFunc(l.Packages, func(p debian.Locked) bool { return slices.Contains(gone, p) })
			}
			for _, p := range l.Packages {
				if seen[p.SHA256+p.Scripts] {
					continue
				}
				seen[p.SHA256+p.Scripts] = true
				d, err := client.Scripts(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if got := debian.ScriptsHash(d.Scripts); got != p.Scripts {
					t.Errorf("%s: %s %s: the code makes %q of its scripts, the lock has %q; run make locks", images.LockName(family.Name, slot), p.Name, p.Version, got, p.Scripts)
				}
			}
		}
	}
	if len(seen) < 150 {
		t.Errorf("only %d packages were looked at", len(seen))
	}
}

// mirrorsOfHost are those that imgbuild would take.
func mirrorsOfHost() (debian.Mirrors, error) {
	if m := os.Getenv("IMGBUILD_MIRROR"); m != "" {
		return debian.ParseMirror(m)
	}
	return debian.HostMirrors(os.DirFS("/etc/apt"))
}

// TestPins: the committed locks of these tests are for the packages that the recipes ask for today.
func TestPins(t *testing.T) {
	list, err := filepath.Glob(filepath.Join(pins, "qemu*.lock"))
	if err != nil || len(list) != 4 {
		t.Fatalf("%d locks in %s: %v, want 4", len(list), pins, err)
	}
	for _, c := range []struct {
		role     string
		packages []string
	}{{"worker", []string{"hostapd"}}, {"worker", []string{"containerd", "runc", "containernetworking-plugins"}}, {"storage", []string{"smbclient", "curl", "lftp"}}, {"router", []string{"dhcpcd-base"}}} {
		packages := c.packages
		data, file, err := committed([]string{"board=qemu-arm64", "role=" + c.role, "packages=" + strings.Join(packages, ",")})
		if err != nil {
			t.Fatal(err)
		}
		l, err := debian.ParseLock(file, data)
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.New("qemu-arm64", c.role, recipe.Choice{Packages: packages})
		if err != nil {
			t.Fatal(err)
		}
		want, got := slices.Sorted(slices.Values(r.Request().Want)), slices.Sorted(slices.Values(l.Want))
		if !slices.Equal(want, got) {
			t.Errorf("%s was made for other packages; run make locks\n got %v\nwant %v", file, got, want)
		}
	}
}

// serves reports whether a board of a family has a role of a slot.
func serves(t *testing.T, family, slot string) bool {
	t.Helper()
	for _, name := range boards.Names() {
		b, _, err := boards.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Family == family && slices.ContainsFunc(images.RolesOf(slot), func(role string) bool { return slices.Contains(b.Roles, role) }) {
			return true
		}
	}
	return false
}
