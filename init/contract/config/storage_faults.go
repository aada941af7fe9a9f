package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Protocols are the words of storage.shares.NAME.via.
var Protocols = []string{"nfs", "smb", "ftp"}

// Everyone means all users of storage.users.
const Everyone = "*"

// StorageFault is something in the section storage that cannot work as it is written. What it is
// about is left out on a node, and the rest is served.
type StorageFault struct {
	Path string // of the key
	Fix  string
	Text string
	Kind string // "disk", "user", "share", or "" for a setting whose default is used
	Name string // of what is left out; of a disk its name
	Weak bool   // it is served all the same
}

var (
	storageName  = pattern{text: `^[a-z](?:[a-z0-9_-]{0,30}[a-z0-9])?$`}
	shareName    = pattern{text: `^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,62}[A-Za-z0-9_-])?$`}
	ntHash       = pattern{text: `^[0-9A-Fa-f]{32}$`}
	ageRecipient = pattern{text: `^age1[02-9ac-hj-np-z]{58}$`}
	signingKey   = pattern{text: `^[A-Za-z0-9+/]{43}=$`}
	workgroup    = pattern{text: `^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,14})$`}
)

// ownUsers are names that the system has already, or that mean something to a server.
var ownUsers = []string{"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup",
	"sshd", "statd", "prometheus", "dnsmasq", "ftp", "anonymous", "guest", "qbittorrent", "rancher", "nobody", "shelf", "shelf-probe",
	"adm", "tty", "disk", "sudo", "shadow", "utmp", "video", "users", "sambashare", "input", "kvm", "render", "crontab", "staff", "nogroup"}

// reservedShares are names that SMB keeps for itself.
var reservedShares = []string{"global", "homes", "printers", "print$", "ipc$", "admin$"}

// Faults returns everything in the section that cannot work, in a fixed order.
func (s Storage) Faults() []StorageFault {
	f := &storageFaults{s: s}
	f.disks()
	f.users()
	f.shares()
	f.backup()
	f.settings()
	return f.list
}

type storageFaults struct {
	s    Storage
	list []StorageFault
}

func (f *storageFaults) add(kind, name, path, fix, format string, args ...any) {
	f.list = append(f.list, StorageFault{Path: path, Fix: fix, Text: fmt.Sprintf(format, args...), Kind: kind, Name: name})
}

func (f *storageFaults) weak(kind, name, path, fix, format string, args ...any) {
	f.add(kind, name, path, fix, format, args...)
	f.list[len(f.list)-1].Weak = true
}

// SpindownLeast is the shortest time after which a disk may be stopped.
const SpindownLeast = 5 * time.Minute

// ByNumber reports whether a device is named by what belongs to the disk itself and not to what is
// written on it.
func ByNumber(device string) bool {
	return strings.HasPrefix(device, "SERIAL=") && len(device) > len("SERIAL=") || strings.HasPrefix(device, "/dev/disk/by-id/") && len(device) > len("/dev/disk/by-id/")
}

func (f *storageFaults) disks() {
	names, devices := map[string]bool{}, map[string]string{}
	for i, d := range f.s.Disks {
		here := index("storage.disks", i)
		tag, rest, tagged := strings.Cut(d.Device, "=")
		switch {
		case !storageName.MatchString(d.Name):
			f.add("disk", d.Name, here+".name", "use small letters, digits, _ and -, 32 at most", "%s is not a name for a disk", quote(d.Name))
		case names[d.Name]:
			f.add("disk", d.Name, here+".name", "give each disk a name of its own", "two disks have the name %s", quote(d.Name))
		case d.Device != "auto" && !ByNumber(d.Device) && !(tagged && rest != "" && contains([]string{"LABEL", "UUID"}, tag)):
			f.add("disk", d.Name, here+".device", "write auto, LABEL=, UUID=, SERIAL= or /dev/disk/by-id/NAME; `shelf storage disks` lists them", "%s names no disk", quote(d.Device))
		case d.Format && !ByNumber(d.Device):
			f.add("disk", d.Name, here+".format", "name the disk by SERIAL= or /dev/disk/by-id/NAME; `shelf storage disks` lists them", "only a disk that is named by its serial number is formatted")
		case devices[d.Device] != "":
			f.add("disk", d.Name, here+".device", "give each disk an entry of its own", "%s is also the disk %s", quote(d.Device), devices[d.Device])
		case slices.Contains(f.s.Raw, d.Device):
			f.add("disk", d.Name, here+".device", "take it out of storage.raw or of storage.disks", "%s is also in storage.raw", quote(d.Device))
		}
		if d.Spindown != 0 && d.Spindown < SpindownLeast {
			f.weak("disk", d.Name, here+".spindown", "write 5m or more", "%v is too short: a disk that starts often wears out; it always turns", d.Spindown)
		}
		names[d.Name] = true
		devices[d.Device] = d.Name
	}
	for i, raw := range f.s.Raw {
		if !ByNumber(raw) {
			f.add("", "", index("storage.raw", i), "write SERIAL= or /dev/disk/by-id/NAME", "%s does not name a disk by its serial number", quote(raw))
		}
	}
	if len(f.s.Shares) > 0 && len(f.s.Disks) == 0 {
		f.add("", "", "storage.disks", "write disks: [{device: auto}], or name one", "there are shares and no disk to hold them")
	}
}

func (f *storageFaults) users() {
	uids := map[int]string{}
	for _, name := range sortedNames(f.s.Users) {
		u, here := f.s.Users[name], "storage.users."+name
		switch {
		case !storageName.MatchString(name):
			f.add("user", name, here, "use small letters, digits, _ and -, 32 at most", "%s is not a name for a user", quote(name))
		case contains(ownUsers, name):
			f.add("user", name, here, "choose another name", "the system has a user %s of its own", quote(name))
		case u.UID == 0:
			f.add("user", name, here, "set uid, from 1000 to 60000", "the user has no uid")
		case uids[u.UID] != "":
			f.add("user", name, here+".uid", "give each user a number of its own", "%s has the uid %d as well", uids[u.UID], u.UID)
		case u.PasswordHash != "" && (!Hashed(u.PasswordHash) || strings.ContainsAny(u.PasswordHash, ":\n")):
			f.add("user", name, here+".password_hash", "make one with: imgbuild passwd", "this is not a crypt(5) hash")
		case u.SMBNTHash != "" && !ntHash.MatchString(u.SMBNTHash):
			f.add("user", name, here+".smb_nt_hash", "make one with: imgbuild passwd", "an NT hash has 32 hex digits")
		default:
			uids[u.UID] = name
		}
	}
}

// where is the directory of a share, as DISK/PATH.
func (f *storageFaults) where(name string, s Share) string {
	d, p := f.s.Place(name)
	return d + "/" + p
}

// Place returns the disk of a share and its directory there.
func (s Storage) Place(share string) (disk, dir string) {
	sh := s.Shares[share]
	if disk = sh.Disk; disk == "" && len(s.Disks) > 0 {
		disk = s.Disks[0].Name
	}
	if dir = strings.TrimSuffix(sh.Path, "/"); dir == "" {
		dir = share
	}
	return disk, dir
}

// badPath reports what is wrong with a share's directory.
func badPath(p string) string {
	switch {
	case strings.HasPrefix(p, "/"):
		return "is not below a disk"
	case p != path.Clean(p) || p == ".." || strings.HasPrefix(p, "../"):
		return "does not stay on its disk"
	case p == ".":
		return "is the whole disk"
	case strings.ContainsAny(p, "\x00\n\r\t\"\\%$#;="):
		return "has a character that a server would misread"
	}
	for part := range strings.SplitSeq(p, "/") {
		if strings.HasPrefix(part, ".shelf") || part == ".snapshots" {
			return "belongs to the node"
		}
	}
	return ""
}

func (f *storageFaults) shares() {
	lower, served := map[string]string{}, map[string]string{}
	for _, name := range sortedNames(f.s.Shares) {
		n := len(f.list)
		f.share(name, f.s.Shares[name], lower, served)
		if !slices.ContainsFunc(f.list[n:], func(x StorageFault) bool { return !x.Weak }) {
			served[name] = f.where(name, f.s.Shares[name])
		}
		lower[strings.ToLower(name)] = name
	}
}

func (f *storageFaults) share(name string, s Share, lower, served map[string]string) {
	here := "storage.shares." + name
	bad := func(key, fix, format string, args ...any) {
		if key != "" {
			key = "." + key
		}
		f.add("share", name, here+key, fix, format, args...)
	}
	if !shareName.MatchString(name) || contains(reservedShares, strings.ToLower(name)) {
		bad("", "use letters, digits, spaces, . _ and -, 64 at most", "%s is not a name for a share", quote(name))
	}
	if other := lower[strings.ToLower(name)]; other != "" {
		bad("", "give it another name", "SMB does not distinguish it from %s", quote(other))
	}
	disk, dir := f.s.Place(name)
	if !slices.ContainsFunc(f.s.Disks, func(d StorageDisk) bool { return d.Name == disk }) && len(f.s.Disks) > 0 {
		bad("disk", "name one of storage.disks", "there is no disk %s", quote(disk))
	}
	if why := badPath(dir); why != "" {
		bad("path", "write a directory below the disk's root, such as video/films", "%s %s", quote(dir), why)
	}
	mine := disk + "/" + dir
	for _, other := range sortedNames(served) {
		if at := served[other]; at == mine || strings.HasPrefix(at, mine+"/") || strings.HasPrefix(mine, at+"/") {
			bad("path", "give each share a directory of its own", "it overlaps the share %s, which is %s", quote(other), at)
			break
		}
	}
	if len(s.Via) == 0 {
		bad("via", "write via: [smb], or nfs or ftp", "the way it is served is missing")
	}
	for i, v := range s.Via {
		if !contains(Protocols, v) {
			bad(index("via", i), "write nfs, smb or ftp", "%s is not a way to serve a share", quote(v))
		}
	}
	f.nfs(s, bad)
	f.members(name, s, bad)
	f.rules("share", name, here+".snapshots", s.Snapshots)
	if s.Quota != 0 && s.Quota < QuotaLeast {
		f.weak("share", name, here+".quota", "write it like 500G, at least 16M", "%d bytes are too few; there is no limit", s.Quota)
	}
	for _, o := range []struct {
		key string
		set bool
	}{{"guest", s.Guest}, {"recycle", s.Recycle}, {"time_machine", s.TimeMachine}} {
		if o.set && !contains(s.Via, "smb") {
			f.weak("share", name, here+"."+o.key, "add smb to via, or remove it", "it has no effect on a share that is not served by SMB")
		}
	}
}

// rules checks how many snapshots are to be kept.
func (f *storageFaults) rules(kind, name, path string, texts []string) {
	units := map[string]bool{}
	for i, text := range texts {
		r, ok := SnapshotRuleOf(text)
		switch {
		case !ok:
			f.weak(kind, name, index(path, i), "write it like 24 hourly; hourly, daily, weekly or monthly, and 1 to 100", "%s is not a rule for snapshots; it is left out", quote(text))
		case units[r.Unit]:
			f.weak(kind, name, index(path, i), "keep one of them", "there are two rules for %s snapshots", r.Unit)
		}
		units[r.Unit] = true
	}
}

// backup checks the section storage.backup.
func (f *storageFaults) backup() {
	for i, name := range f.s.Backup.Shares {
		if _, ok := f.s.Shares[name]; !ok {
			f.add("", "", index("storage.backup.shares", i), "name one of storage.shares", "there is no share %s", quote(name))
		}
	}
	f.rules("", "", "storage.backup.keep", f.s.Backup.Keep)
	for _, name := range sortedNames(f.s.Backup.To) {
		f.place("storage.backup.to."+name, name, f.s.Backup.To[name])
	}
}

// place checks an entry of storage.backup.to.
func (f *storageFaults) place(here, name string, p BackupPlace) {
	u, err := url.Parse(p.URL)
	var secret bool
	if err == nil {
		_, secret = u.User.Password()
	}
	switch {
	case !storageName.MatchString(name):
		f.add("", "", here, "use small letters, digits, _ and -, 32 at most", "%s is not a name for a place", quote(name))
	case err != nil || u.Scheme != "sftp" || u.Host == "" || u.User.Username() == "" || strings.Trim(u.Path, "/") == "":
		f.add("", "", here+".url", "write it like sftp://backup@nas/shelf", "this is not an sftp:// URL with a user and a directory")
	case secret:
		f.add("", "", here+".url", "take it out; on the node `sudo shelf backup key` prints the key to allow there", "the password in the URL is not used, and stays readable on the boot partition")
	}
	if len(p.Recipients) == 0 {
		f.add("", "", here+".recipients", "make one with: imgbuild keygen backup", "nobody could read the backups")
	}
	for i, r := range p.Recipients {
		if !ageRecipient.MatchString(r) {
			f.add("", "", index(here+".recipients", i), "make one with: imgbuild keygen backup", "%s is not an age recipient", quote(r))
		}
	}
	if !signingKey.MatchString(p.SigningKey) {
		f.add("", "", here+".signing_key", "make one with: imgbuild keygen backup", "this is not a signing key")
	}
}

func (f *storageFaults) nfs(s Share, bad func(key, fix, format string, args ...any)) {
	if !contains(s.Via, "nfs") {
		return
	}
	if len(s.Networks) == 0 {
		bad("networks", "write networks: [192.168.1.0/24]", "the networks that may mount it by NFS are missing")
	}
	for i, n := range s.Networks {
		_, err := netip.ParsePrefix(n)
		if _, err2 := netip.ParseAddr(n); err != nil && err2 != nil {
			bad(index("networks", i), "write it like 192.168.1.0/24", "%s is neither an address nor a network", quote(n))
		}
	}
	if _, known := f.s.Users[s.NFSAs]; s.NFSAs != "" && !known {
		bad("nfs_as", "name one of storage.users", "there is no user %s", quote(s.NFSAs))
	}
	if s.NFSAs != "" && s.NFSRoot {
		bad("nfs_root", "keep one of nfs_as and nfs_root", "all clients are %s already", quote(s.NFSAs))
	}
}

func (f *storageFaults) members(name string, s Share, bad func(key, fix, format string, args ...any)) {
	for _, list := range []struct {
		key   string
		names []string
	}{{"read", s.Read}, {"write", s.Write}} {
		for i, u := range list.names {
			user, known := f.s.Users[u]
			switch {
			case u == Everyone:
			case !known:
				bad(index(list.key, i), "add it to storage.users, or take it out here", "there is no user %s", quote(u))
			case contains(s.Via, "smb") && user.SMBNTHash == "":
				f.weak("share", name, "storage.users."+u, "set smb_nt_hash; imgbuild passwd prints one", "the user may use the share %s and has no password for SMB", quote(name))
			case contains(s.Via, "ftp") && user.PasswordHash == "":
				f.weak("share", name, "storage.users."+u, "set password_hash; imgbuild passwd prints one", "the user may use the share %s and has no password for FTP", quote(name))
			}
		}
	}
	if len(s.Read)+len(s.Write) == 0 && !s.Guest && (contains(s.Via, "smb") || contains(s.Via, "ftp")) {
		f.weak("share", name, "storage.shares."+name, "set read or write", "no user may use it")
	}
}

// FTPPorts reads storage.ftp.ports.
func (s StorageFTP) FTPPorts() (first, last int, ok bool) {
	a, b, cut := strings.Cut(s.Ports, "-")
	first, err := strconv.Atoi(strings.TrimSpace(a))
	last, err2 := strconv.Atoi(strings.TrimSpace(b))
	ok = cut && err == nil && err2 == nil && first >= 1024 && first <= last && last <= 65535
	return first, last, ok
}

func (f *storageFaults) settings() {
	if _, _, ok := f.s.FTP.FTPPorts(); !ok && f.s.FTP.Ports != "" {
		f.add("", "", "storage.ftp.ports", "write it like 30000-30009, from 1024 to 65535", "%s is not a range of ports", quote(f.s.FTP.Ports))
	}
	if g := f.s.NFS.Grace.Seconds(); f.s.NFS.Grace != 0 && (g < 10 || g > 120) {
		f.add("", "", "storage.nfs.grace", "write 10 to 120 seconds", "%v is too short or too long", f.s.NFS.Grace)
	}
	if w := f.s.SMB.Workgroup; w != "" && !workgroup.MatchString(w) {
		f.add("", "", "storage.smb.workgroup", "use letters, digits, _ and -, 15 at most", "%s is not a name for a workgroup", quote(f.s.SMB.Workgroup))
	}
}

// checkStorage reports the faults of the section, and what the role cannot do without.
func (k *checker) checkStorage() {
	for _, f := range k.c.Storage.Faults() {
		s, tail := Error, ""
		switch {
		case f.Weak:
			s = Warning
		case f.Kind != "":
			tail = "; the " + f.Kind + " is left out"
		}
		if k.role != "storage" {
			s = Warning
		}
		k.report(s, f.Path, f.Fix, "%s%s", f.Text, tail)
	}
}
