// Package boards holds what is known of each machine as data: one file per board, one per family of
// boards that share a kernel, a bootloader and so a slot. A board that needs code elsewhere shows
// that this type lacks a field.
package boards

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"imgbuild/init/contract/datafile"
)

//go:embed *.yaml families/*.yaml hardware/*.yaml
var files embed.FS

// Board is one machine that an image can be built for.
type Board struct {
	Name       string   `yaml:"-" json:"name"` // the file's name
	Title      string   `yaml:"title" json:"title"`
	Family     string   `yaml:"family" json:"family"`
	MemoryMB   int      `yaml:"memory_mb" json:"memory_mb"`   // of the smallest variant that is sold
	Compatible []string `yaml:"compatible" json:"compatible"` // of its device trees, variants included
	Roles      []string `yaml:"roles" json:"roles"`
	Refused    []Refuse `yaml:"refused" json:"-"` // pairs that are not built, and why
	Machine    string   `yaml:"machine" json:"machine"`
	Seen       string   `yaml:"seen" json:"seen"` // honest status: what was seen to boot, and how
	NeedsBlobs bool     `yaml:"needs_blobs" json:"needs_blobs,omitempty"`
	EEPROM     bool     `yaml:"eeprom" json:"eeprom,omitempty"` // its first bootloader is in a chip of the board
	Imager     []string `yaml:"imager" json:"-"`                // what Raspberry Pi Imager calls it, if it knows it
	Lacks      []string `yaml:"lacks" json:"-"`                 // network hardware that it does not have of its own: wifi, ethernet
}

// Refuse is the reason for a role that a board does not get.
type Refuse struct {
	Role, Why string
}

// Family is what boards with the same slot share.
type Family struct {
	Name     string   `yaml:"-" json:"name"`
	Arch     string   `yaml:"arch" json:"arch"` // Debian's name of it
	Packages []string `yaml:"packages" json:"packages"`
	// Hardware names the kinds of things that people plug in and that are driven; their packages,
	// modules and firmware are added to those named here.
	Hardware []string `yaml:"hardware" json:"hardware,omitempty"`
	// Picks are single packages of another suite, ARCHIVE/SUITE:NAME, taken without their
	// dependencies.
	Picks  []string `yaml:"picks" json:"picks,omitempty"`
	Kernel struct {
		Image string `yaml:"image" json:"image"` // prefix of the kernel's path in its package: boot/vmlinuz-
		Gzip  bool   `yaml:"gzip" json:"gzip"`   // the slot holds it compressed; a zImage already is
		// Modules that /init needs before it has a root: storage and watchdog. Names, or
		// directories that end in a slash.
		Initramfs []string `yaml:"initramfs" json:"initramfs"`
		// Modules of the running system next to those that the role names.
		Modules []string `yaml:"modules" json:"modules"`
	} `yaml:"kernel" json:"kernel"`
	Boot []Copy `yaml:"boot" json:"boot"` // files of BOOT, out of packages
	// Files of BOOT that we write, by name.
	BootText map[string]string `yaml:"boot_text" json:"-"`
	SlotDTB  []string          `yaml:"slot_dtb" json:"slot_dtb,omitempty"` // where the slot's device tree is booted, not the firmware's
	Script   Script            `yaml:"script" json:"script"`
	Firmware []string          `yaml:"firmware" json:"firmware,omitempty"` // patterns of files kept below usr/lib/firmware
	Raw      []Raw             `yaml:"raw" json:"raw,omitempty"`
	UBootEnv *UBootEnv         `yaml:"uboot_env" json:"uboot_env,omitempty"`
}

// Hardware is a kind of thing that can be plugged into a board.
type Hardware struct {
	Name     string   `yaml:"-"` // the file's name
	Title    string   `yaml:"title"`
	Packages []string `yaml:"packages"`
	Modules  []string `yaml:"modules"`
	Firmware []string `yaml:"firmware"` // patterns of files below usr/lib/firmware
}

// Copy is a file of BOOT out of a package. From may name kernel device trees as dtb:PATH.
type Copy struct {
	Package, From, To string
}

// Script are the fields of boot.scr that differ between boards. Addresses are those of the files in
// memory while U-Boot runs.
type Script struct {
	Console string `yaml:"console" json:"console"`     // of the board itself; virt's is known to the script
	Args    string `yaml:"args" json:"args,omitempty"` // more words for the kernel
	Kernel  uint64 `yaml:"kernel" json:"kernel"`       // address of the unpacked kernel
	Packed  uint64 `yaml:"packed" json:"packed"`       // of the compressed one, 0 for a zImage
	Initrd  uint64 `yaml:"initrd" json:"initrd"`       //
	DTB     string `yaml:"dtb" json:"dtb,omitempty"`   // the slot's device tree; empty: what the firmware left
	DTBAddr uint64 `yaml:"dtb_addr" json:"dtb_addr,omitempty"`
}

// UBootEnv is true if the board's U-Boot reads its environment from BOOT, which saves its boot
// delay and USB scan.
type UBootEnv struct {
	File string
	Size int
}

// Raw is a blob between the partition table and the first partition.
type Raw struct {
	Name    string `yaml:"name" json:"name"`
	Sector  int64  `yaml:"sector" json:"sector"`
	Sectors int64  `yaml:"sectors" json:"sectors"` // the most it may take
	// Cut is true if the file is longer than its place and its end is not written: the vendor's own
	// script lets the next blob overwrite it.
	Cut bool `yaml:"cut" json:"cut,omitempty"`
	// Either out of a package ...
	Package string `yaml:"package" json:"package,omitempty"`
	From    string `yaml:"from" json:"from,omitempty"`
	// ... or from the vendor, without a stated licence: fetched by the user's own build, never
	// shipped by us.
	URL    string `yaml:"url" json:"url,omitempty"`
	Size   int64  `yaml:"size" json:"size,omitempty"`
	SHA256 string `yaml:"sha256" json:"sha256,omitempty"`
}

type table struct {
	boards   map[string]*Board
	families map[string]*Family
	hardware map[string]*Hardware
	err      error
}

var load = sync.OnceValue(func() table { return read(files) })

func read(fsys fs.FS) (t table) {
	t.hardware, t.err = datafile.All(fsys, "boards", "hardware", func(h *Hardware, name string) { h.Name = name })
	if t.err != nil {
		return t
	}
	t.families, t.err = datafile.All(fsys, "boards", "families", func(f *Family, name string) { f.Name = name })
	if t.err != nil {
		return t
	}
	for _, name := range slices.Sorted(maps.Keys(t.families)) {
		if t.err = t.families[name].drive(t.hardware); t.err != nil {
			return t
		}
	}
	t.boards, t.err = datafile.All(fsys, "boards", ".", func(b *Board, name string) { b.Name = name })
	if t.err != nil {
		return t
	}
	for _, name := range slices.Sorted(maps.Keys(t.boards)) {
		if b := t.boards[name]; t.families[b.Family] == nil {
			t.err = fmt.Errorf("boards/%s.yaml: no family %q", name, b.Family)
			return t
		}
	}
	return t
}

// drive adds what the family's kinds of hardware need, each name once.
func (f *Family) drive(known map[string]*Hardware) error {
	add := func(to *[]string, list []string) {
		for _, s := range list {
			if !slices.Contains(*to, s) {
				*to = append(*to, s)
			}
		}
	}
	for _, name := range f.Hardware {
		h := known[name]
		if h == nil {
			return fmt.Errorf("boards/families/%s.yaml: no hardware %q", f.Name, name)
		}
		add(&f.Packages, h.Packages)
		add(&f.Kernel.Modules, h.Modules)
		add(&f.Firmware, h.Firmware)
	}
	return nil
}

// Kinds returns all kinds of hardware, by name.
func Kinds() map[string]*Hardware { return load().hardware }

// Names of all boards, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(load().boards))
}

// Families returns all families, sorted by name.
func Families() []*Family {
	return slices.SortedFunc(maps.Values(load().families), func(a, b *Family) int { return strings.Compare(a.Name, b.Name) })
}

// Get finds a board and its family. An error here is a defect of the data, not of the name: for an
// unknown name it returns nil.
func Get(name string) (*Board, *Family, error) {
	t := load()
	if t.err != nil {
		return nil, nil, t.err
	}
	b := t.boards[name]
	if b == nil {
		return nil, nil, nil
	}
	return b, t.families[b.Family], nil
}

// Of returns the boards of a family, sorted by name.
func Of(family string) []*Board {
	var all []*Board
	for _, name := range Names() {
		if b := load().boards[name]; b.Family == family {
			all = append(all, b)
		}
	}
	return all
}

// Supports reports whether the board takes a role, and if not, why.
func (b *Board) Supports(role string) (bool, string) {
	for _, r := range b.Roles {
		if r == role {
			return true, ""
		}
	}
	for _, r := range b.Refused {
		if r.Role == role {
			return false, r.Why
		}
	}
	return false, fmt.Sprintf("%s is not among its roles: %s", role, strings.Join(b.Roles, ", "))
}
