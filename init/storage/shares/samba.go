package shares

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// SambaDir is the directory of smbd's databases while it runs; what lasts is copied to the disk.
const SambaDir = "/run/shelf/storage/samba"

// Samba is smb.conf.
func (p Plan) Samba(host string, m Mounts) string {
	var b strings.Builder
	section := func(name string) { fmt.Fprintf(&b, "[%s]\n", name) }
	set := func(key, value string) { fmt.Fprintf(&b, "\t%s = %s\n", key, value) }
	b.WriteString("# Written by shelf; what is changed here does not last.\n")
	smb := slices.DeleteFunc(slices.Clone(p.Shares), func(s Share) bool { _, ok := m.Path(s); return !ok || !s.By("smb") })
	guest := slices.ContainsFunc(smb, func(s Share) bool { return s.Guest })
	fruit := slices.ContainsFunc(smb, func(s Share) bool { return s.TimeMachine })
	section("global")
	for _, kv := range [][2]string{
		{"server role", "standalone server"}, {"workgroup", p.Settings.SMB.Workgroup}, {"netbios name", netbios(host)}, {"server string", host},
		{"smb ports", "445"}, {"disable netbios", "yes"}, {"server min protocol", "SMB2_10"}, {"multicast dns register", "no"},
		{"passdb backend", "tdbsam"}, {"private dir", SambaDir + "/private"}, {"state directory", SambaDir + "/state"}, {"cache directory", SambaDir + "/cache"},
		{"lock directory", SambaDir + "/lock"}, {"pid directory", SambaDir}, {"ncalrpc dir", SambaDir + "/ncalrpc"},
		{"obey pam restrictions", "yes"}, {"invalid users", "root"}, {"guest account", "nobody"}, {"unix extensions", "no"},
		{"load printers", "no"}, {"printing", "bsd"}, {"printcap name", "/dev/null"}, {"disable spoolss", "yes"},
		{"usershare max shares", "0"}, {"log level", "1"}, {"dos charset", "CP850"}, {"inherit acls", "yes"}, {"create mask", "0775"}, {"directory mask", "0775"},
	} {
		set(kv[0], kv[1])
	}
	set("map to guest", map[bool]string{true: "Bad User", false: "Never"}[guest])
	for _, s := range smb {
		dir, _ := m.Path(s)
		section(s.Name)
		set("path", dir)
		may := p.Of(s)
		var read, write []string
		for _, name := range slices.Sorted(maps.Keys(may)) {
			if read = append(read, name); may[name] {
				write = append(write, name)
			}
		}
		switch {
		case s.Guest:
			set("guest ok", "yes")
			set("invalid users", "root "+Probe)
		case len(read) > 0:
			set("valid users", strings.Join(read, " "))
		default:
			set("available", "no")
		}
		set("read only", "yes")
		if len(write) > 0 {
			set("write list", strings.Join(write, " "))
		}
		var objects []string
		if len(s.SnapshotRules()) > 0 { // Windows' previous versions
			objects = append(objects, "shadow_copy2")
		}
		if s.Recycle {
			objects = append(objects, "recycle")
			set("recycle:repository", ".recycle")
			set("recycle:keeptree", "yes")
			set("recycle:versions", "yes")
		}
		if fruit { // for all shares or for none
			objects = append(objects, "catia", "fruit", "streams_xattr")
		}
		if s.TimeMachine {
			set("fruit:time machine", "yes")
		}
		if len(objects) > 0 {
			set("vfs objects", strings.Join(objects, " "))
		}
	}
	return b.String()
}

// netbios is a name of 15 capital letters, digits and dashes at most.
func netbios(host string) string {
	short, _, _ := strings.Cut(host, ".")
	name := strings.ToUpper(short)
	return strings.TrimRight(name[:min(len(name), 15)], "-")
}

// Passdb is a file for pdbedit -i smbpasswd: users with a password for SMB. All of them have to be
// in /etc/passwd: pdbedit ends without a word at the first that is not. The time is not 0, which
// would mean that the password must be changed.
func (p Plan) Passdb(probe string) string {
	var b strings.Builder
	line := func(name string, uid int, nt string) {
		fmt.Fprintf(&b, "%s:%d:%s:%s:[U          ]:LCT-67000000:\n", name, uid, strings.Repeat("X", 32), nt)
	}
	for _, u := range p.Users {
		if u.NT != "" {
			line(u.Name, u.UID, u.NT)
		}
	}
	if probe != "" {
		line(Probe, ProbeUID, probe)
	}
	return b.String()
}
