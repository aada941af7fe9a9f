package shares

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Exports is /etc/exports: a line for each share that is served by NFS and whose disk is in use.
// The node itself may look up every one and read none: that is how it asks its own server.
func (p Plan) Exports(m Mounts) string {
	var b strings.Builder
	b.WriteString("# Written by shelf; what is changed here does not last.\n")
	for _, s := range p.Shares {
		dir, ok := m.Path(s)
		if !ok || !s.By("nfs") {
			continue
		}
		common := "sync,no_subtree_check,sec=sys,fsid=" + FSID(m[s.Disk].UUID, s.Dir)
		options := "ro,"
		if s.Writable() {
			options = "rw,"
		}
		if len(s.SnapshotRules()) > 0 { // each is a mount of its own
			options += "crossmnt,"
		}
		options += common
		switch u, named := p.User(s.NFSAs); {
		case named:
			options += fmt.Sprintf(",all_squash,anonuid=%d,anongid=%d", u.UID, u.GID)
		case s.NFSRoot:
			options += ",no_root_squash"
		default:
			options += ",root_squash"
		}
		fmt.Fprintf(&b, "%s 127.0.0.1(ro,insecure,all_squash,%s)", quoted(dir), common)
		for _, n := range s.Networks {
			fmt.Fprintf(&b, " %s(%s)", n, options)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// FSID is the number by which file handles name an export. It depends on the file system and the
// directory alone: handles stay good when the disk is moved to another node. It is a number of 32
// bits and not a UUID: mountd of nfs-utils 2.8.3 looks for mounts below an export with a UUID under
// that UUID alone, and clients get ESTALE for each snapshot. 0 means the root of all exports.
func FSID(uuid, dir string) string {
	h := sha256.Sum256([]byte("shelf export\x00" + strings.ToLower(uuid) + "\x00" + dir))
	return strconv.FormatUint(uint64(max(1, binary.BigEndian.Uint32(h[:]))), 10)
}

// quoted is a path as exports(5) takes it.
func quoted(path string) string {
	if strings.ContainsAny(path, " ") {
		return `"` + path + `"`
	}
	return path
}
