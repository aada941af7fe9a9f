// Package archive reads and writes a node's archive: what `imgbuild migrate` takes off an old card,
// what a server's backup holds, and what the build options import= and restore= write to the data
// partition.
//
// It is a PAX tar, under zstd where its name ends in .zst. The first member, shelf-node.json, is
// the Header; the last, shelf-end.json, counts and sums what is between, so that an archive that
// was cut off or changed by hand is not taken for a whole one. Members are directories, regular
// files, symbolic links and hard links to earlier members. Their names are paths relative to the
// root of the data partition ("k3os/data/var/lib/rancher/k3os/hostname"), owners are numbers.
//
// Nothing here follows a link, and Read gives nothing that could leave the data partition: no
// absolute name, no "..", no name twice, nothing below a name that is not a directory, no device.
package archive

import (
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"imgbuild/init/contract/fault"
)

// Format is the version of the format that is written, and the highest that is read.
const Format = 1

// Kinds of archives.
const (
	Migrate = "migrate" // off a card of k3OS or picl; for import=
	Backup  = "backup"  // a server's datastore and identity; for restore=
)

// Header describes an archive. Created is RFC 3339, UTC.
type Header struct {
	Format   int       `json:"format"`
	Kind     string    `json:"kind"`
	Created  time.Time `json:"created"`
	Hostname string    `json:"hostname"`
	Role     string    `json:"role"`           // server or worker; empty when it is not known
	K3s      string    `json:"k3s,omitempty"`  // version whose data it holds, v1.22.2+k3s1; empty: none, or not known
	From     string    `json:"from,omitempty"` // what it was made from, in words
	Contents []string  `json:"contents"`       // what is in it, the words below
}

// Words of Header.Contents.
const (
	Identity  = "identity"  // hostname, node password, machine id, ssh host keys
	Config    = "config"    // cloud-config
	Datastore = "datastore" // k3s' server: database, certificates, tokens
	K3s       = "k3s"       // the rest of k3s' state
	Volumes   = "volumes"   // local volumes of pods
	Home      = "home"      // home directories and /usr/local, /opt
)

// Has reports whether the archive holds that part.
func (h Header) Has(part string) bool { return slices.Contains(h.Contents, part) }

const (
	headName   = "shelf-node.json"
	endName    = "shelf-end.json"
	maxHead    = 64 << 10 // bytes of a header
	maxName    = 4095     // bytes of a name or a target, as the kernel has it
	maxMembers = 4 << 20  // more is not a node; each costs memory for its name
)

// end is the last member.
type end struct {
	Members int    `json:"members"` // between header and end
	Bytes   int64  `json:"bytes"`   // of files
	Sum     string `json:"sha256"`  // over names, owners, modes, links and contents, see note
}

func (h Header) check() error {
	switch {
	case h.Format > Format:
		return fault.New(fault.Input, "use the imgbuild that made it, or a newer one", "the archive has format %d, known is %d", h.Format, Format)
	case h.Format < 1:
		return fault.New(fault.Input, "", "the archive's header has no format")
	case h.Kind != Migrate && h.Kind != Backup:
		return fault.New(fault.Input, "", "the archive is of the unknown kind %q", h.Kind)
	}
	for _, s := range append([]string{h.Hostname, h.Role, h.K3s, h.From}, h.Contents...) {
		if len(s) > 1024 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return fault.New(fault.Input, "", "the archive's header has a text that is none: %.40q", s)
		}
	}
	return nil
}

// CheckName reports whether name may be a member: relative, clean, slash separated.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%.40q is not a path", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return fmt.Errorf("%.80q is not a clean relative path", name)
		case len(part) > 255:
			return fmt.Errorf("%.80q has a name longer than 255 bytes", name)
		}
	}
	return nil
}

// members is what Writer and Read both hold against the rules.
type members struct {
	kind  map[string]byte // tar type by name
	count int
	bytes int64
	sum   hash.Hash
}

// add takes the next member; typ is a tar type.
func (m *members) add(name string, typ byte, target string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if name == headName || name == endName {
		return fmt.Errorf("%q is the archive's own", name)
	}
	if k, twice := m.kind[name]; twice && (k != typeImplied || typ != typeDir) {
		return fmt.Errorf("%q is there twice", name)
	}
	if m.count == maxMembers {
		return fmt.Errorf("more than %d members", maxMembers)
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		switch k, ok := m.kind[name[:i]]; {
		case !ok:
			m.kind[name[:i]] = typeImplied
		case k != typeDir && k != typeImplied:
			return fmt.Errorf("%q is below %q, which is not a directory", name, name[:i])
		}
	}
	switch typ {
	case typeDir, typeFile:
	case typeSymlink:
		if target == "" || len(target) > maxName || strings.IndexByte(target, 0) >= 0 {
			return fmt.Errorf("the link %q points to %.40q", name, target)
		}
	case typeLink:
		if k := m.kind[target]; k != typeFile {
			return fmt.Errorf("the hard link %q belongs to %.80q, which is not a file before it", name, target)
		}
	default:
		return fmt.Errorf("%q is neither directory, file nor link", name)
	}
	m.kind[name] = typ
	m.count++
	return nil
}

// note sums a member's facts. Content goes into the sum after them, its length being one of them.
func (m *members) note(name string, typ byte, mode, uid, gid, mtime, size int64, target string) {
	fmt.Fprintf(m.sum, "%q %c %o %d %d %d %d %q\n", name, typ, mode, uid, gid, mtime, size, target)
	m.bytes += size
}

func (m *members) end() end {
	return end{m.count, m.bytes, fmt.Sprintf("%x", m.sum.Sum(nil))}
}

func marshal(v any) []byte {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		panic(err) // of our own two types, which have nothing that could fail
	}
	return append(b, '\n')
}
