package shares

import (
	"encoding/binary"
	"slices"
)

// Entry tags of a POSIX ACL as the kernel keeps it in system.posix_acl_access and
// system.posix_acl_default (include/uapi/linux/posix_acl.h).
const (
	aclVersion = 2
	userObj    = 0x01
	aUser      = 0x02
	groupObj   = 0x04
	aMask      = 0x10
	other      = 0x20
	noID       = 0xffffffff
)

// ACL is who may do what in the directory of a share that the node made, for files and directories
// alike: the kernel then decides for SMB, FTP and NFS in one way.
func (p Plan) ACL(s Share) []byte {
	type entry struct {
		tag, perm uint16
		id        uint32
	}
	const r, rwx = 5, 7
	rest := uint16(0)
	if s.All || s.Guest {
		rest = r
	}
	if s.AllWrite {
		rest = rwx
	}
	list := []entry{{userObj, rwx, noID}}
	may := p.Of(s)
	if u, ok := p.User(s.NFSAs); ok {
		may[u.Name] = may[u.Name] || s.Writable()
	}
	var users []User
	for _, u := range p.Users {
		if _, ok := may[u.Name]; ok {
			users = append(users, u)
		}
	}
	slices.SortFunc(users, func(a, b User) int { return a.UID - b.UID })
	for _, u := range users {
		perm := uint16(r)
		if may[u.Name] {
			perm = rwx
		}
		list = append(list, entry{aUser, perm, uint32(u.UID)})
	}
	list = append(list, entry{groupObj, rest, noID}, entry{aMask, rwx, noID}, entry{other, rest, noID})
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range list {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out
}
