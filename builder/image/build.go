// Package image makes images: packages to tree, tree to slot, slot to disk. Nothing else knows
// where a byte of the disk goes; the leaf formats it calls know nothing of this product.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/bmap"
	"imgbuild/builder/debian"
	"imgbuild/builder/recipe"
	"imgbuild/builder/scratch"
	"imgbuild/builder/tree"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/manifest"
)

// Options are the input of a build.
type Options struct {
	Recipe *recipe.Ready
	Client *debian.Client
	Cache  *blockcache.Cache
	Config []byte // written to BOOT as config.yaml; nil for a template
	Login  string // short name of the ssh keys where Config holds nothing else, and so no secret
	Node   *Node  // written to the data partition, its configuration on BOOT; nil for an empty one
	AirGap []AirGap
	Blobs  Blobs
	// ImageOnly leaves .img.zst and SHA256SUMS out: for an image that goes into QEMU or onto a card
	// and is thrown away.
	ImageOnly bool
	Out       string // directory; made if missing
	// Workers compress in parallel; 0 for the number of processors. The result does not depend on
	// it.
	Workers int
	// Key signs an upgrade bundle of the slot, and its public half is written to the data
	// partition; nil for neither.
	Key *minisign.PrivateKey
	// Warnings are those of the steps before the build; they are in the result too.
	Warnings []string
	// Progress is called with how far a long step is; units are the step's own. May be nil.
	Progress func(step string, done, total int64)
}

// Result is what a build produced.
type Result struct {
	Version  string            `json:"version"`
	Name     string            `json:"name"` // of the files in Out, without suffix
	Image    string            `json:"image"`
	Files    []string          `json:"files"` // all that was written, the image first
	Size     int64             `json:"size"`  // of the .img, holes included
	Used     int64             `json:"used"`  // bytes of it that are not holes
	Packed   int64             `json:"packed"`
	Mapped   int64             `json:"mapped"` // bytes that are written to a card
	SlotUsed int64             `json:"slot_used"`
	Root     int64             `json:"root_squashfs"`
	RootRaw  int64             `json:"root_content"`
	Initrd   int64             `json:"initramfs"`
	Init     int64             `json:"init"`
	Packages int               `json:"packages"`
	Modules  int               `json:"modules"`
	Steps    []Step            `json:"steps"`
	Warnings []string          `json:"warnings,omitempty"`
	Manifest manifest.Manifest `json:"slot"`
}

// SlotPercent is how full the slot is.
func (r *Result) SlotPercent() int64 { return r.SlotUsed * 100 / slotSize }

// Bundle is the signed upgrade that a build with a key makes next to the image.
func (r *Result) Bundle() string {
	return strings.TrimSuffix(r.Image, filepath.Ext(r.Image)) + bundle.Suffix
}

// Step is a finished part of a build and what it cost.
type Step struct {
	Name string        `json:"name"`
	Wall time.Duration `json:"wall_ns"`
	CPU  time.Duration `json:"cpu_ns"` // user and system time of this process
}

type build struct {
	Options
	version    string
	seed       [32]byte // of every identifier in the image
	imageSum   string   // sha256 of the .img, hex
	mapped     []bmap.Range
	sbom       tree.Content // the list of contents, SPDX
	slotKey    string       // names the slot's bytes in the cache
	slotEnd    int64        // where the frames of the slot end on the disk
	temp       string
	unnamed    map[string]*atomicfile.File // files that hold a configuration, by the name that they would have in temp
	open       []io.Closer
	blobs      map[string][]byte // of the vendor, by name; nil for one that is skipped
	usr        *tree.Tree        // of the squashfs
	moduleTree *tree.Tree        // kernel modules of the running system
	result     Result
}

// Build makes the image. On any error, an interrupt included, nothing is left under a final name.
func Build(ctx context.Context, o Options) (res *Result, err error) {
	b := &build{Options: o, version: o.Recipe.Version(), seed: sha256.Sum256([]byte("imgbuild " + o.Recipe.Hash()))}
	temp, err := tempIn(o.Out)
	if err != nil {
		return nil, err
	}
	defer temp.Remove()
	b.temp = temp.Path
	defer func() {
		for _, c := range b.open {
			c.Close()
		}
	}()
	b.result.Version = b.version
	b.result.Warnings = append(b.result.Warnings, o.Warnings...)
	if b.result.Name, err = b.name(); err != nil {
		return nil, err
	}
	return b.cached(func() error { return b.run(ctx) })
}

// CheckOut reports whether a build could write to the directory out, before anything is fetched for
// it.
func CheckOut(out string) error {
	temp, err := tempIn(out)
	if err != nil {
		return err
	}
	return fault.Wrap(temp.Remove(), fault.Device, "give another directory as out=DIR", "writing to %s", out)
}

// tempIn makes the directory that a build works in, and removes those of builds that were killed.
func tempIn(out string) (*scratch.Dir, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, fault.Wrap(err, fault.Device, "give another one as out=DIR", "making the output directory")
	}
	scratch.Sweep(out)
	temp, err := scratch.NewDir(out, "build")
	return temp, fault.Wrap(err, fault.Device, "give another directory as out=DIR", "writing to %s", out)
}

func (b *build) run(ctx context.Context) error {
	programs, err := ProgramsOf(b.Recipe.Family.Arch)
	if err != nil {
		return err
	}
	if carried, err := Carried(b.Recipe.Family.Arch); err != nil {
		return err
	} else if carried != b.Recipe.Carried {
		return fmt.Errorf("the recipe is one of another imgbuild: %+v, not %+v", b.Recipe.Carried, carried)
	}
	b.result.Init = int64(len(programs.Init))
	if err := b.steps(ctx, []step{{"blobs", func() error { return b.vendorBlobs(ctx) }}}); err != nil {
		return err
	}
	p, err := b.prepare(ctx, programs)
	if err != nil {
		return err
	}
	return b.steps(ctx, []step{
		{"disk", func() error { return b.disk(p) }},
		{"bundle", func() error { return b.bundle(ctx) }},
		{"pack", func() error { return b.seal(ctx) }},
		{"publish", b.publish},
	})
}

// step is a part of a build.
type step struct {
	name string
	do   func() error
}

// steps carries out steps until one fails or ctx ends.
func (b *build) steps(ctx context.Context, list []step) error {
	for _, s := range list {
		if err := ctx.Err(); err != nil {
			return fault.New(fault.Interrupted, "", "stopped before %s; nothing was left behind: %w", s.name, err)
		}
		wall, cpu := time.Now(), cpuTime()
		if err := s.do(); err != nil {
			if ctx.Err() != nil {
				return fault.New(fault.Interrupted, "", "stopped; nothing was left behind: %w", ctx.Err())
			}
			return fault.Wrap(err, kindOf(err), "", "%s", s.name)
		}
		b.result.Steps = append(b.result.Steps, Step{s.name, time.Since(wall), cpuTime() - cpu})
	}
	return nil
}

func kindOf(err error) fault.Kind {
	return fault.Kind(fault.Code(err))
}

func (b *build) progress(step string, done, total int64) {
	if b.Progress != nil {
		b.Progress(step, done, total)
	}
}

func (b *build) keep(c io.Closer) { b.open = append(b.open, c) }
func (b *build) path(name string) string {
	if f := b.unnamed[name]; f != nil {
		return f.Path()
	}
	return filepath.Join(b.temp, name)
}
func (b *build) warn(text string, a ...any) {
	b.result.Warnings = append(b.result.Warnings, fmt.Sprintf(text, a...))
}
func (b *build) create(name string) (*os.File, error) {
	return os.OpenFile(b.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
}

// secret reports whether the image holds somebody's configuration. Public keys alone are none.
func (b *build) secret() bool { return b.Config != nil && b.Login == "" || b.Node != nil }

// createDisk begins a file that holds the whole disk. Where that has secrets the file has no name
// before publish, so that a build that is killed leaves none; Close it only on an error then.
func (b *build) createDisk(name string) (f *os.File, done func() error, err error) {
	if !b.secret() {
		f, err := b.create(name)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, f.Chmod(0o644) // whatever the umask is
	}
	u, err := atomicfile.Create(b.temp, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if b.unnamed == nil {
		b.unnamed = map[string]*atomicfile.File{}
	}
	b.unnamed[name] = u
	b.keep(u)
	return u.File, func() error { return nil }, nil
}

// publishFile renames a finished file to its final name. It does not wait for the disk: the files
// are large, can be built again, and SHA256SUMS shows one that a power cut tore.
func (b *build) publishFile(name, final string) error {
	if u := b.unnamed[name]; u != nil {
		return u.Publish(final)
	}
	return os.Rename(b.path(name), final)
}

// date is the lock's, as seconds since 1970: the only time that reaches an image.
func (b *build) date() uint32 {
	t, err := time.Parse("20060102", b.Recipe.Lock.Date)
	if err != nil {
		return 0
	}
	return uint32(t.Unix())
}

// id derives an identifier for one purpose from the recipe, so that it is fixed per image and
// differs between images.
func (b *build) id(purpose string) [16]byte {
	h := sha256.Sum256(append(b.seed[:], purpose...))
	var id [16]byte
	copy(id[:], h[:])
	return id
}

func sumFile(name string) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

func fileContent(name string, size int64) tree.Content {
	return tree.Content{Size: size, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}
