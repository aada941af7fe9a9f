// Package shares converts the section storage to what its servers read: exports, smb.conf,
// vsftpd.conf, accounts. Everything here is a pure function of the configuration; package serve
// writes the files and starts the servers.
package shares

import (
	"maps"
	"path"
	"slices"
	"strings"

	"imgbuild/init/contract/config"
)

// Probe is the user as whom the node asks its own servers. It is in no share and accepted from
// 127.0.0.1 only.
const (
	Probe    = "shelf-probe"
	ProbeUID = 990
)

// User is somebody who may use shares.
type User struct {
	Name     string
	UID, GID int
	Crypt    string // crypt(5); empty: no FTP
	NT       string // 32 hex digits; empty: no SMB
}

// Share is a share as it is served.
type Share struct {
	config.Share
	Name        string
	Disk        string
	Dir         string // below the disk's root
	Read, Write []string
	All         bool // every user may read
	AllWrite    bool
}

// By reports whether it is served by nfs, smb or ftp.
func (s Share) By(protocol string) bool { return slices.Contains(s.Via, protocol) }

// Writable reports whether anybody may write.
func (s Share) Writable() bool { return len(s.Write) > 0 || s.AllWrite }

// Plan is all that is served.
type Plan struct {
	Users    []User  // by name
	Shares   []Share // by name
	Settings config.Storage
}

// Make leaves out what cannot work; the check of the configuration reports it.
func Make(s config.Storage) Plan {
	bad := map[string]bool{}
	for _, f := range s.Faults() {
		switch {
		case f.Weak:
		case f.Kind != "":
			bad[f.Kind+" "+f.Name] = true
		case strings.HasPrefix(f.Path, "storage.ftp.ports"):
			s.FTP.Ports = ""
		case strings.HasPrefix(f.Path, "storage.nfs.grace"):
			s.NFS.Grace = 0
		case strings.HasPrefix(f.Path, "storage.smb.workgroup"):
			s.SMB.Workgroup = ""
		}
	}
	d := config.Default().Storage
	if s.FTP.Ports == "" {
		s.FTP.Ports = d.FTP.Ports
	}
	if s.FTP.TLS == "" {
		s.FTP.TLS = d.FTP.TLS
	}
	if s.NFS.Grace == 0 {
		s.NFS.Grace = d.NFS.Grace
	}
	if s.NFS.Threads == 0 {
		s.NFS.Threads = d.NFS.Threads
	}
	if s.SMB.Workgroup == "" {
		s.SMB.Workgroup = d.SMB.Workgroup
	}
	p := Plan{Settings: s}
	known := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.Users)) {
		if u := s.Users[name]; !bad["user "+name] {
			p.Users = append(p.Users, User{name, u.UID, u.Group(), u.PasswordHash, strings.ToUpper(u.SMBNTHash)})
			known[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Shares)) {
		if bad["share "+name] {
			continue
		}
		c := s.Shares[name]
		sh := Share{Share: c, Name: name}
		if sh.Disk, sh.Dir = s.Place(name); bad["disk "+sh.Disk] || sh.Disk == "" {
			continue
		}
		if !known[c.NFSAs] {
			if c.NFSAs != "" { // its user is left out: it would be served as another user's
				continue
			}
		}
		sh.Write, sh.AllWrite = members(c.Write, known)
		sh.Read, sh.All = members(c.Read, known)
		sh.All = sh.All || sh.AllWrite
		p.Shares = append(p.Shares, sh)
	}
	return p
}

// members takes the users of a list that exist, and whether it is everyone.
func members(list []string, known map[string]bool) (names []string, all bool) {
	for _, n := range list {
		if n == config.Everyone {
			all = true
		} else if known[n] && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, all
}

// Any reports whether a share is served by a protocol.
func (p Plan) Any(protocol string) bool {
	return slices.ContainsFunc(p.Shares, func(s Share) bool { return s.By(protocol) })
}

// User finds a user.
func (p Plan) User(name string) (User, bool) {
	i := slices.IndexFunc(p.Users, func(u User) bool { return u.Name == name })
	if i < 0 {
		return User{}, false
	}
	return p.Users[i], true
}

// Of returns the users who may read a share, and whether each may write, by name.
func (p Plan) Of(s Share) map[string]bool {
	may := map[string]bool{}
	for _, u := range p.Users {
		if s.All || slices.Contains(s.Read, u.Name) {
			may[u.Name] = false
		}
		if s.AllWrite || slices.Contains(s.Write, u.Name) {
			may[u.Name] = true
		}
	}
	return may
}

// Mounts reports where disks are mounted and what their file systems are, by name; those that are
// not in use are missing.
type Mounts map[string]Mount

// Mount is one disk in use.
type Mount struct {
	At, UUID string
	ReadOnly bool
}

// Path is the directory of a share; false while its disk is not in use.
func (m Mounts) Path(s Share) (string, bool) {
	d, ok := m[s.Disk]
	return path.Join(d.At, s.Dir), ok
}
