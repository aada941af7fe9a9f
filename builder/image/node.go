package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/contract/userfile"

	"github.com/klauspost/compress/zstd"
)

// Node is an archive that is written to the data partition of an image: of a node that moves in, or
// comes back. Its configuration goes onto BOOT instead, where the node imports it as if its owner
// had put it there, and blanks the secrets in it.
type Node struct {
	archive.Header
	Config []byte            // its config.yaml; nil for none
	Parts  map[string][]byte // its config.d, by name
	Local  []Source          // of a backup: what its users wrote in k3OS's usual place, which is put there again; in the order in which it counts
	Disk   bool              // its k3s had its data on a disk of their own
	Token  string            // that its server's data were made with; a secret
	Files  int
	Bytes  int64

	name    string
	content file
	list    []member
	dataDir string // of its server, as a path on the data partition; empty if it has none
}

// serverToken is where a server keeps its token, below its data directory.
const serverToken = "/server/token"

// file is the archive, or what it unpacks to.
type file interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

type member struct {
	*tar.Header
	offset int64
}

// Where a node keeps what it has imported from BOOT, and what it notes next to that.
const (
	storedMain  = "k3os/config/system.yaml"
	storedParts = "k3os/config/config.d/"
)

// Where k3OS had what its users wrote. On a node these count more than what comes from BOOT.
const (
	localMain  = "k3os/data/var/lib/rancher/k3os/config.yaml"
	localParts = "k3os/data/var/lib/rancher/k3os/config.d/"
)

// isLocal reports whether a member is a file of k3OS's usual place.
func isLocal(m member) bool {
	return m.Typeflag == tar.TypeReg && (m.Name == localMain || strings.HasPrefix(m.Name, localParts))
}

// OpenNode opens an archive of that kind for a recipe and reads it to its end, so that one that is
// damaged costs nothing more. A compressed one is unpacked into a file without a name in dir. Close
// it when the image is built.
func OpenNode(name, kind string, r *recipe.Asked, dir string) (n *Node, err error) {
	f, err := userfile.Open(option[kind], name)
	if err != nil {
		return nil, err
	}
	n = &Node{name: name, content: f, Parts: map[string][]byte{}}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	if err := n.unpack(dir); err != nil {
		return nil, err
	}
	end, err := n.content.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	sr := io.NewSectionReader(n.content, 0, end)
	err = archive.Read(sr, func(h archive.Header) error {
		n.Header = h
		return n.fits(kind, r)
	}, func(h *tar.Header, content io.Reader) error {
		offset, err := sr.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		return n.add(member{h, offset}, content)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	n.toBoot()
	return n, nil
}

// Name is the archive's file.
func (n *Node) Name() string { return n.name }

// Close gives up what OpenNode opened.
func (n *Node) Close() error {
	if n == nil {
		return nil
	}
	return n.content.Close()
}

// unpack replaces a compressed archive by its content.
func (n *Node) unpack(dir string) error {
	magic := make([]byte, 4)
	if _, err := n.content.ReadAt(magic, 0); err != nil || !bytes.Equal(magic, []byte{0x28, 0xB5, 0x2F, 0xFD}) {
		return nil // too short is reported when it is read
	}
	z, err := zstd.NewReader(n.content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fault.Wrap(err, fault.Device, "give another one as out=DIR", "making the output directory")
	}
	out, err := atomicfile.Create(dir, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Device, "give another directory as out=DIR", "unpacking the archive")
	}
	if _, err := io.Copy(out, z); err != nil {
		out.Close()
		var full *os.PathError
		if errors.As(err, &full) {
			return fault.Wrap(err, fault.Device, "is the disk full?", "unpacking the archive")
		}
		return fault.Wrap(err, fault.Input, "make it again, or copy it again", "%s cannot be unpacked", n.name)
	}
	n.content.Close()
	n.content = out
	return nil
}

// Where a node keeps the number of its data disk, and where one that was made from a backup finds
// that of the disk it had; package datadisk has the same names.
const (
	knownDisk    = "k3os/data/var/lib/shelf/data-disk"
	restoredDisk = knownDisk + ".restored"
)

// option is the build option for an archive of a kind.
var option = map[string]string{archive.Migrate: "import", archive.Backup: "restore"}

// fits reports whether an archive belongs into an image.
func (n *Node) fits(kind string, r *recipe.Asked) error {
	if n.Kind != kind {
		return fault.New(fault.Input, fmt.Sprintf("use %s=%s", option[n.Kind], terminal.Quote(n.name)), "it is a %s archive, and %s= takes one of %s", n.Kind, option[kind], kind)
	}
	if n.Role != "" && n.Role != r.Role.Name {
		return fault.New(fault.Input, "build it with role="+n.Role, "it is of a %s, and the image is for a %s", n.Role, r.Role.Name)
	}
	return nil
}

// noteK3s is the file by which the node knows which k3s had the data last; one of the archive's own
// is replaced.
func (n *Node) noteK3s() ext4.Entry {
	text := []byte(n.K3s + "\n")
	return ext4.Entry{Path: n.dataDir + "/" + k3sstep.NoteName, Kind: ext4.File, Mode: 0o600, Size: int64(len(text)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}

// CheckK3s reports whether the image's k3s may start with the archive's data. Where one of the
// versions is not known the answer is a warning.
func (n *Node) CheckK3s(version string) (warning string, err error) {
	if !n.Has(archive.Datastore) {
		return "", nil
	}
	return k3sstep.Change{From: n.K3s, To: version, Data: true}.Judge()
}

// add sorts a member to where it goes.
func (n *Node) add(m member, content io.Reader) error {
	base := path.Base(m.Name)
	switch {
	case !strings.HasPrefix(m.Name+"/", "k3os/"):
		return fault.New(fault.Input, "make it again", "it has %s, which has no place on a data partition", m.Name)
	case m.Name == "k3os", m.Name == "k3os/data", m.Name == "k3os/config", m.Name+"/" == storedParts:
		if m.Typeflag != tar.TypeDir {
			return fault.New(fault.Input, "make it again", "its %s is not a directory", m.Name)
		}
		return nil
	case strings.HasPrefix(m.Name, "k3os/config/") && (strings.HasSuffix(base, ".boot") || strings.HasSuffix(base, ".pending") || base == "00-image.yaml"):
		return nil // what the old BOOT looked like, and what the old image recorded of itself
	case m.Name == storedMain || strings.HasPrefix(m.Name, storedParts):
		if m.Typeflag != tar.TypeReg || m.Size > config.MaxSize {
			return fault.New(fault.Input, "make it again", "its %s is not a configuration", m.Name)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if m.Name == storedMain {
			n.Config = data
		} else {
			n.Parts[strings.TrimPrefix(m.Name, storedParts)] = data
		}
		return nil
	case m.Name == knownDisk && n.Kind == archive.Backup:
		// The disk whose number this is may be what was lost. The node asks for it, and moves the
		// backup's data to an empty one if it is not there (package datadisk).
		h := *m.Header
		h.Name = restoredDisk
		m.Header = &h
		n.Disk = true
	}
	if strings.HasSuffix(m.Name, serverToken) && m.Typeflag == tar.TypeReg && m.Size <= config.MaxSize {
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		n.Token, n.dataDir = string(data), strings.TrimSuffix(m.Name, serverToken)
	}
	if isLocal(m) && m.Size <= config.MaxSize {
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		s := Source{strings.TrimPrefix(m.Name, path.Dir(localMain)+"/"), data}
		if n.Local = append(n.Local, s); n.Kind == archive.Migrate {
			return nil // it goes onto BOOT, see toBoot
		}
	}
	n.list = append(n.list, m)
	n.Files++
	n.Bytes += m.Size
	return nil
}

// toBoot puts what k3OS's users wrote in its usual place among what goes onto BOOT, where the owner
// finds it, in the same order.
func (n *Node) toBoot() {
	slices.SortStableFunc(n.Local, func(a, b Source) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Name, "/"), strings.Count(b.Name, "/")), strings.Compare(a.Name, b.Name))
	})
	if n.Kind != archive.Migrate {
		return
	}
	for _, s := range n.Local {
		base := path.Base(s.Name)
		switch {
		case s.Name == "config.yaml" && n.Config == nil:
			n.Config = s.Data
		case s.Name == "config.yaml":
			n.Parts["90-k3os.yaml"] = s.Data
		default:
			base = strings.Map(func(r rune) rune {
				if r < 0x80 && (r == '.' || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
					return r
				}
				return '_'
			}, strings.TrimSuffix(base, ".yaml"))
			n.Parts["95-k3os-"+base+".yaml"] = s.Data
		}
	}
	n.Local = nil
}

// Sources are the archive's configuration in the order in which it counts, the last one most.
func (n *Node) Sources() (list []Source) {
	if n == nil {
		return nil
	}
	if n.Config != nil {
		list = append(list, Source{"config.yaml", n.Config})
	}
	for _, name := range slices.Sorted(maps.Keys(n.Parts)) {
		list = append(list, Source{"config.d/" + name, n.Parts[name]})
	}
	return append(list, n.Local...)
}

// Replace puts a configuration of the user's in the place of the archive's, and returns what that
// changes.
func (n *Node) Replace(own []byte) (warnings []string) {
	if n.Config != nil || n.Local != nil {
		warnings = append(warnings, "config= is used, and the configuration in the archive is left")
	}
	n.Config = nil
	for name := range n.Parts {
		if name == "90-k3os.yaml" || strings.HasPrefix(name, "95-k3os-") {
			delete(n.Parts, name)
		}
	}
	if n.Local != nil { // it would count more than config=
		n.list = slices.DeleteFunc(n.list, isLocal)
		n.Local = nil
	}
	const network = "10-connman.yaml"
	if l, _ := config.Parse("config", own); n.Parts[network] != nil && l.Has("network") {
		delete(n.Parts, network)
		warnings = append(warnings, "config= has a section network, so what connman had is left")
	}
	return warnings
}

// modes of directories that an archive need not name.
var modes = map[string]uint16{
	"k3os/data/root":                           0o700,
	"k3os/data/var/lib/rancher/k3os":           0o700,
	"k3os/data/var/lib/rancher/k3os/node":      0o700,
	"k3os/data/var/lib/rancher/k3os/ssh":       0o700,
	"k3os/data/var/lib/rancher/k3s/server":     0o700,
	"k3os/data/var/lib/rancher/k3s/server/db":  0o700,
	"k3os/data/var/lib/rancher/k3s/server/tls": 0o700,
	"k3os/data/var/lib/shelf":                  0o700,
}

// entries returns what is written to the data partition next to what is always there, parents first
// and hard links last.
func (n *Node) entries() (list []ext4.Entry) {
	if n == nil {
		return nil
	}
	dirs := map[string]bool{"k3os": true, "k3os/data": true, "k3os/config": true}
	for _, m := range n.list {
		if m.Typeflag == tar.TypeDir {
			dirs[m.Name] = true
		}
	}
	note := n.dataDir != "" && n.K3s != "" && n.Has(archive.Datastore)
	for _, m := range n.list {
		if note && m.Name == n.dataDir+"/"+k3sstep.NoteName {
			continue
		}
		for dir := path.Dir(m.Name); !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
			mode, ok := modes[dir]
			if !ok {
				mode = 0o755
			}
			list = append(list, ext4.Entry{Path: dir, Kind: ext4.Dir, Mode: mode})
		}
		e := ext4.Entry{Path: m.Name, Mode: uint16(m.Mode), UID: uint32(m.Uid), GID: uint32(m.Gid), Time: uint32(min(max(m.ModTime.Unix(), 0), 1<<32-1))}
		switch m.Typeflag {
		case tar.TypeDir:
			e.Kind = ext4.Dir
		case tar.TypeSymlink:
			e.Kind, e.Target = ext4.Symlink, m.Linkname
		case tar.TypeLink:
			e = ext4.Entry{Path: m.Name, Kind: ext4.HardLink, Target: m.Linkname}
		default:
			e.Kind, e.Size = ext4.File, m.Size
			e.Open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.NewSectionReader(n.content, m.offset, m.Size)), nil
			}
		}
		list = append(list, e)
	}
	if note {
		list = append(list, n.noteK3s())
	}
	slices.SortFunc(list, func(a, b ext4.Entry) int {
		if la, lb := a.Kind == ext4.HardLink, b.Kind == ext4.HardLink; la != lb {
			if la {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return list
}
