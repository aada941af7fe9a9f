// Package migrate takes a node off a card of k3OS or picl: what makes it the same node again on a
// card of ours. The card is read, never written, without mounting it and without being root where
// the file may be read.
package migrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/diskmap"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"

	"github.com/klauspost/compress/zstd"
	"github.com/moby/sys/mountinfo"
)

// source is an open card or image.
type source struct {
	io.ReaderAt
	size  int64
	close func() error
}

// openSource opens a card, an image, or an image under zstd, which is unpacked into a temporary
// file in dir.
func openSource(name, dir string) (*source, error) {
	f, err := userfile.Open("", name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.New(fault.Device, fmt.Sprintf("run imgbuild with sudo, or copy the card first: sudo dd if=%s of=card.img bs=4M", name), "the card %s cannot be read: %w", name, fs.ErrPermission)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Input, "give a device such as /dev/sdb, or an image of a card", "%s does not exist", name)
	case err != nil:
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if info.Mode()&fs.ModeDevice != 0 {
		if at := mounted(name); at != "" {
			f.Close()
			return nil, fault.New(fault.Device, "unmount it: sudo umount "+at, "%s is mounted on %s and may change while it is read", name, at)
		}
	}
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err == nil && string(magic) == "\x28\xB5\x2F\xFD" {
		defer f.Close()
		return unpack(f, dir)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, fault.Wrap(err, fault.Device, "", "reading %s", name)
	}
	return &source{f, size, f.Close}, nil
}

// mounted returns a mount point of a device or of one of its partitions.
func mounted(device string) string {
	if real, err := filepath.EvalSymlinks(device); err == nil {
		device = real
	}
	mounts, _ := mountinfo.GetMounts(nil)
	for _, m := range mounts {
		if part, ok := strings.CutPrefix(m.Source, device); ok && !strings.Contains(part, "/") {
			return m.Mountpoint
		}
	}
	return ""
}

// unpack writes the content of a compressed image to a file without a name, with holes where it is
// zero.
func unpack(r io.Reader, dir string) (*source, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	f, err := atomicfile.Create(dir, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "give out= in a directory that you may write to", "unpacking the image")
	}
	buf := make([]byte, 1<<20)
	var size int64
	for {
		n, err := io.ReadFull(z, buf)
		if n > 0 && !zero(buf[:n]) {
			if _, err := f.WriteAt(buf[:n], size); err != nil {
				f.Close()
				return nil, err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n < len(buf) && ended(z) {
			break
		}
		if err != nil {
			f.Close()
			return nil, fault.Wrap(err, fault.Input, "copy it again", "the image cannot be unpacked")
		}
	}
	return &source{f, size, f.Close}, f.Truncate(size)
}

// ended distinguishes the end of a stream from a truncated one, for which io.ReadFull has one name.
func ended(r io.Reader) bool {
	_, err := r.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Kinds of cards.
const (
	K3OS = "k3OS"
	Picl = "picl"
)

// card is the partition that has the node.
type card struct {
	*ext4.Reader
	kind  string
	where string // the partition, in words
	also  string // others that were not taken, in words
}

// find looks for the node on the partitions of s, or for a file system that is the whole of it.
func find(s *source) (*card, error) {
	parts, err := partitions(s, s.size)
	if err != nil {
		return nil, fault.Wrap(err, fault.Input, "give the whole card, such as /dev/sdb, or an image of it", "the partition table cannot be read")
	}
	var tried []string
	var found []*card
	var broken error
	for _, p := range parts {
		r, err := ext4.NewReader(io.NewSectionReader(s, p.start, p.size), p.size)
		if errors.Is(err, ext4.ErrNone) {
			tried = append(tried, p.name+": no ext4")
			continue
		}
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		c := &card{Reader: r, where: p.name}
		has := func(name string) bool {
			i, err := r.Lookup(name)
			if err != nil {
				broken = errors.Join(broken, fmt.Errorf("%s: %w", p.name, err))
			}
			return i != nil && i.Kind == ext4.Dir
		}
		switch {
		case has("k3os/config") && !has("k3os/system"):
			return nil, fault.New(fault.Input, "it keeps its data through upgrades; `backup:` in its configuration copies a server elsewhere", "%s is ShelfOS's own data partition already", p.name)
		case !has("k3os/data") && !has("k3os/system"):
			tried = append(tried, fmt.Sprintf("%s: ext4 %q without k3os", p.name, r.Label))
			continue
		case r.Label == "root": // picl's name for it
			c.kind = Picl
		default:
			c.kind = K3OS
		}
		found = append(found, c)
	}
	if len(found) > 0 {
		return choose(found)
	}
	if broken != nil {
		return nil, unreadable(broken)
	}
	return nil, fault.New(fault.Input, "give the card, or an image of the whole card, of a node that ran k3OS or picl", "no k3OS or picl is found here (%s)", strings.Join(tried, "; "))
}

// stateLabel is how k3OS finds its own file system; of several it takes the one that is called so.
const stateLabel = diskmap.DataLabel

// choose takes the one that the old node would have booted from; where that is not clear a person
// has to choose.
func choose(found []*card) (*card, error) {
	if len(found) == 1 {
		return found[0], nil
	}
	var names []string
	var labelled []*card
	for _, c := range found {
		names = append(names, fmt.Sprintf("%s (%q)", c.where, c.Label))
		if c.Label == stateLabel {
			labelled = append(labelled, c)
		}
	}
	if len(labelled) == 1 {
		labelled[0].also = strings.Join(names, ", ")
		return labelled[0], nil
	}
	return nil, fault.New(fault.Input, "give the one partition, such as /dev/sdb2, or an image of it", "there are several systems of k3OS or picl on it: %s", strings.Join(names, ", "))
}

// unreadable adds the kind and a fix to an error of a file system.
func unreadable(err error) error {
	var damage *ext4.Damage
	var unsupported *ext4.Unsupported
	const onACopy = "a copy: sudo dd if=/dev/CARD of=card.img bs=64K conv=noerror,sync; sudo losetup -fP --show card.img, which names a device; sudo e2fsck -f that device with p and the partition's number after it; sudo losetup -D"
	switch {
	case errors.As(err, &damage):
		return fault.Wrap(err, fault.Device, "repair "+onACopy+", and give card.img here", "the card cannot be read soundly")
	case errors.As(err, &unsupported):
		return fault.Wrap(err, fault.Input, "boot it once and shut it down, or repair "+onACopy+", and give card.img here", "the card cannot be read")
	}
	return fault.Wrap(err, fault.Device, "", "the card cannot be read")
}
