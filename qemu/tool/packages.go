package tool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/scratch"
	"imgbuild/init/contract/fault"
)

// Settings are where packages come from and go. The zero value: the default cache, the host's own
// mirrors.
type Settings struct {
	CacheDir string // "" = blockcache.Default
	Mirror   string // as mirror=; "" = $IMGBUILD_MIRROR, else the host's apt sources
	Progress func(name string, done, total int64)
}

var settings Settings

// Configure changes the settings of this process, before the first use.
func Configure(s Settings) { settings = s }

// suites of which tools are taken: Debian 13, whatever the host runs.
var suites = []debian.Suite{
	{Archive: "debian", Name: "trixie", Components: []string{"main"}},
	{Archive: "debian-security", Name: "trixie-security", Components: []string{"main"}},
}

// host is what the packages' programs run on.
type host struct{ arch, triplet, loader string }

var hosts = map[string]host{
	"amd64": {"amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"},
	"arm64": {"arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"},
}

func thisHost() (host, error) {
	h, ok := hosts[runtime.GOARCH]
	if !ok || runtime.GOOS != "linux" {
		return host{}, fault.New(fault.Input, "install the program", "Debian packages of tools run on Linux on amd64 and arm64, not on %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	return h, nil
}

// fromPackages returns the script that runs p out of its unpacked set.
func fromPackages(ctx context.Context, p program) (string, error) {
	h, err := thisHost()
	if err != nil {
		return "", err
	}
	s := sets[p.set]
	dir, err := unpacked(ctx, p.set, debian.Request{Arch: h.arch, Want: s.want, Drop: s.drop}, func(dir, final string) error {
		return scripts(h, dir, final)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, runDir, p.name), nil
}

// File returns a file out of one Debian package, such as QEMU's U-Boot, without what the package
// depends on. name is its path in the package without a leading slash.
func File(ctx context.Context, pkg, name string) (string, error) {
	h, err := thisHost()
	if err != nil {
		return "", err
	}
	lock.Lock()
	defer lock.Unlock()
	dir, err := unpacked(ctx, "file-"+pkg, debian.Request{Arch: h.arch, Pick: []string{pkg}}, nil)
	if err != nil {
		return "", fault.Wrap(err, fault.Network, "give a mirror in IMGBUILD_MIRROR", "%s of the Debian package %s", name, pkg)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fault.New(fault.Input, "", "the Debian package %s has no %s: %w", pkg, name, err)
	}
	return path, nil
}

// Packages returns a directory with Debian packages for arch and with what they depend on, except
// for drop: for guests that are not a node of ours. name is what the cache calls it.
func Packages(ctx context.Context, name, arch string, want, drop []string) (string, error) {
	lock.Lock()
	defer lock.Unlock()
	dir, err := unpacked(ctx, name, debian.Request{Arch: arch, Want: want, Drop: drop}, nil)
	return dir, fault.Wrap(err, fault.Network, "give a mirror in IMGBUILD_MIRROR", "Debian packages for %s", name)
}

// layout is raised when the shape of an unpacked directory changes.
const layout = "1"

// unpacked returns the directory CACHE/tools/HASH with the packages of r unpacked; HASH is of what
// is in it. CACHE/tools/NAME-KEY.current remembers the directory's name, so that only the first use
// needs the network. finish adds files before the directory gets its name.
func unpacked(ctx context.Context, name string, r debian.Request, finish func(dir, final string) error) (string, error) {
	cache, err := openCache()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(cache.Dir(), "tools")
	if err := os.MkdirAll(tools, 0o755); err != nil {
		return "", err
	}
	release, err := flock(filepath.Join(tools, ".lock")) // test programs of many packages start together
	if err != nil {
		return "", err
	}
	defer release()

	key := sha256.Sum256([]byte(fmt.Sprint(layout, r)))
	current := filepath.Join(tools, name+"-"+hex.EncodeToString(key[:4])+".current")
	if old, err := os.ReadFile(current); err == nil {
		dir := filepath.Join(tools, strings.TrimSpace(string(old)))
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return dir, nil
		}
	}
	client, ix, err := index(ctx, cache, r.Arch)
	if err != nil {
		return "", err
	}
	l, err := ix.Lock(r)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, layout, r)
	for _, p := range l.Packages {
		fmt.Fprintln(h, p.SHA256)
	}
	final := filepath.Join(tools, hex.EncodeToString(h.Sum(nil)[:8]))
	if _, err := os.Stat(final); err != nil {
		if err := client.Fetch(ctx, l.Packages); err != nil {
			return "", err
		}
		if err := unpackAll(ctx, client, l.Packages, tools, final, finish); err != nil {
			return "", err
		}
	}
	return final, os.WriteFile(current, []byte(filepath.Base(final)+"\n"), 0o644)
}

func unpackAll(ctx context.Context, client *debian.Client, packages []debian.Locked, tools, final string, finish func(dir, final string) error) error {
	dir, err := os.MkdirTemp(tools, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range packages {
		data, err := client.Data(ctx, p)
		if err != nil {
			return err
		}
		err = unpack(data, root)
		data.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	if finish != nil {
		if err := finish(dir, final); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.Rename(dir, final)
}

func openCache() (*blockcache.Cache, error) {
	return blockcache.Open(settings.CacheDir)
}

// Scratch makes a directory in the cache for what is too large for /tmp, which is memory on many
// systems: the disks of guests. The caller gives it back with Remove.
func Scratch(purpose string) (*scratch.Dir, error) {
	cache, err := openCache()
	if err != nil {
		return nil, err
	}
	return cache.Scratch(purpose)
}

var (
	indexOnce sync.Mutex
	indexes   = map[string]*debian.Index{}
	clients   = map[string]*debian.Client{}
)

// index reads the archive's index once in a process.
func index(ctx context.Context, cache *blockcache.Cache, arch string) (*debian.Client, *debian.Index, error) {
	indexOnce.Lock()
	defer indexOnce.Unlock()
	if ix := indexes[arch]; ix != nil {
		return clients[arch], ix, nil
	}
	mirrors, err := mirrors()
	if err != nil {
		return nil, nil, err
	}
	c := debian.NewClient(debian.Options{Cache: cache, Mirrors: mirrors, Progress: settings.Progress})
	ix, err := c.Index(ctx, arch, slices.Clone(suites))
	if err != nil {
		return nil, nil, err
	}
	indexes[arch], clients[arch] = ix, c
	return c, ix, nil
}

func mirrors() (debian.Mirrors, error) {
	for _, m := range []string{settings.Mirror, os.Getenv("IMGBUILD_MIRROR")} {
		if m != "" {
			return debian.ParseMirror(m)
		}
	}
	return debian.HostMirrors(os.DirFS("/etc/apt"))
}

// flock takes a lock that other processes respect and returns the function that returns it.
func flock(name string) (func(), error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { f.Close() }, nil
}
