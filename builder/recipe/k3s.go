package recipe

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"imgbuild/builder/debian"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// K3s is the k3s of the slot, or how the node gets it.
type K3s struct {
	Version string `json:"version,omitempty"`
	Source  string `json:"source"` // embedded, firstboot, none
	SHA256  string `json:"sha256,omitempty"`
	URL     string `json:"url,omitempty"`
	Size    int64  `json:"size,omitempty"`
	File    string `json:"-"` // embedded: where the binary is on this host
	Warning string `json:"warning,omitempty"`
}

// The sources of k3s.
const (
	Embedded  = "embedded"
	FirstBoot = "firstboot"
	NoK3s     = "none"
)

// slotPart is what the slot's bytes depend on.
func (k K3s) slotPart() K3s {
	k.File, k.Warning = "", ""
	return k
}

// K3sDefault is what k3s=auto means.
const K3sDefault = "v1.35.0+k3s1"

// k3sSums are the sha256 of the release binaries, by version and Debian architecture. They are
// taken from public sources that quote the releases' own sums; they were not compared with the
// release files.
var k3sSums = map[string]map[string]string{
	"v1.35.0+k3s1": {
		"amd64": "959c9310a6ab893958d1c95bc5d7609de9d7884630c8832180f059369b6dc331",
		"arm64": "c0b1673a1f2b740cb7bb08355c885efb6a4aa5c8022e5bb306c621c8c1492883",
		"armhf": "baf71e2e083676cfbb378ee1e1e5aa5509c2f9bd9ba56feb266a0d18365e6f54",
	},
	"v1.34.3+k3s1": {
		"amd64": "f95350e3997165974d1d1406f01aabaf869aed7ca790cc2d83a92a82f26a06c5",
		"arm64": "fa37b06df7ae82b46de6679a8682b6ece2adf531709bed6299086716c1038147",
		"armhf": "e75d12a5c481e96372b112dc20faa9a64f1b73069897012b025b976bd359de3d",
	},
}

var k3sAssets = map[string]string{"amd64": "k3s", "arm64": "k3s-arm64", "armhf": "k3s-armhf"}

// K3sVersions are the versions with a pinned sum.
func K3sVersions() []string {
	set := map[string]bool{}
	for v := range k3sSums {
		set[v] = true
	}
	return sortedKeys(set)
}

// pinned looks for a version in a lock, which may be nil, and among those that this program knows.
func pinned(l *debian.Lock, from *Releases, version, arch string) (K3s, error) {
	k := K3s{Version: version, SHA256: k3sSums[version][arch], URL: from.asset(version, k3sAssets[arch])}
	if l != nil && l.K3s != nil && l.K3s.Version == version {
		k.SHA256, k.Size = l.K3s.SHA256, l.K3s.Size
	}
	if k.SHA256 == "" {
		fix := "run `imgbuild lock k3s=" + version + "`; pinned are " + strings.Join(K3sVersions(), ", ") + "; or give the binary itself as k3s=FILE"
		return K3s{}, fault.New(fault.Usage, fix, "no sum is pinned for k3s %s on %s", version, arch)
	}
	return k, nil
}

// chosenK3s is the version that k3s=auto and firstboot mean: the lock's, else the program's.
func (l *locked) chosenK3s() string {
	if l.Lock.K3s != nil {
		return l.Lock.K3s.Version
	}
	return K3sDefault
}

// pinnedK3s is a version of k3s for this recipe, as its lock or this program know it.
func (l *locked) pinnedK3s(version string) (K3s, error) {
	return pinned(l.Lock, l.releases, version, l.Family.Arch)
}

// K3sFile takes a binary of the user's for a Debian architecture. Its version is unknown here, so
// its hash names it. A file that is not a k3s for this architecture is a fault of kind Input.
func K3sFile(name, arch string) (K3s, error) {
	f, err := userfile.Open("k3s", name)
	if errors.Is(err, fs.ErrNotExist) {
		return K3s{}, fault.New(fault.Input, "give a file, a version such as "+K3sDefault+", firstboot or none", "k3s=%s does not exist", name)
	}
	if err != nil {
		return K3s{}, err
	}
	defer f.Close()
	if err := checkK3s(f, arch); err != nil {
		return K3s{}, fmt.Errorf("k3s=%s: %w", name, err)
	}
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return K3s{}, fault.Wrap(err, fault.Input, "", "reading k3s=%s", name)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	return K3s{Version: "file-" + sum[:8], Source: Embedded, SHA256: sum, Size: size, File: name}, nil
}

// machines are the machine fields of ELF files, by Debian architecture.
var machines = map[string]struct {
	machine elf.Machine
	class   elf.Class
}{"amd64": {elf.EM_X86_64, elf.ELFCLASS64}, "arm64": {elf.EM_AARCH64, elf.ELFCLASS64}, "armhf": {elf.EM_ARM, elf.ELFCLASS32}}

// named is in every k3s, which is built by its project's path and prints its version.
var named = regexp.MustCompile(`k3s-io/k3s|rancher/k3s|v1\.\d{1,2}\.\d{1,2}(-rc\d+)?\+k3s\d`)

// checkK3s reports whether a file is a k3s for this architecture: an ELF program for it that names
// itself so. The file's offset is 0 afterwards.
func checkK3s(f io.ReadSeeker, arch string) error {
	const fix = "give the release's own k3s binary, k3s-arm64 for 64-bit boards and k3s-armhf for 32-bit ones"
	r, ok := f.(io.ReaderAt)
	if !ok {
		return fmt.Errorf("it cannot be read")
	}
	p, err := elf.NewFile(r)
	if err != nil {
		return fault.New(fault.Input, fix, "it is not a program: %v", err)
	}
	defer p.Close()
	want, known := machines[arch]
	switch {
	case !known:
		return fmt.Errorf("there is no k3s for %s", arch)
	case p.Machine != want.machine, p.Class != want.class:
		return fault.New(fault.Input, fix, "it is a program for %v of %v, and the image is for %s", p.Machine, p.Class, arch)
	case p.Type != elf.ET_EXEC && p.Type != elf.ET_DYN:
		return fault.New(fault.Input, fix, "it is not a program but an %v", p.Type)
	}
	defer f.Seek(0, io.SeekStart)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(f, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if named.Match(buf) {
			return nil
		}
		if err != nil {
			return fault.New(fault.Input, fix, "it is a program, but nothing in it shows that it is k3s")
		}
		buf = buf[:copy(buf, buf[len(buf)-64:])]
	}
}
