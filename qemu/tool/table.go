package tool

import "regexp"

// program is one row of the table: how to ask a program for its version, the oldest that will do,
// and the Debian packages that carry it.
type program struct {
	name    string
	ask     []string       // arguments that make it print its version and end; the exit status does not count
	version *regexp.Regexp // first group: the version, digits and dots
	least   string         // older ones are passed over
	set     string         // key of sets
}

var dotted = regexp.MustCompile(`\b([0-9]+(?:\.[0-9]+)*)`)

// programs is every program that the boot tests, the format tests and the benchmarks run.
var programs = []program{
	{"qemu-system-aarch64", []string{"--version"}, regexp.MustCompile(`version ([0-9.]+)`), "7.2", "qemu"},
	{"qemu-system-arm", []string{"--version"}, regexp.MustCompile(`version ([0-9.]+)`), "7.2", "qemu"},

	{"unsquashfs", []string{"-version"}, regexp.MustCompile(`version ([0-9.]+)`), "4.5", "squashfs-tools"},
	{"mksquashfs", []string{"-version"}, regexp.MustCompile(`version ([0-9.]+)`), "4.5", "squashfs-tools"},

	{"e2fsck", []string{"-V"}, dotted, "1.46", "e2fsprogs"},
	{"dumpe2fs", []string{"-V"}, dotted, "1.46", "e2fsprogs"},
	{"debugfs", []string{"-V"}, dotted, "1.46", "e2fsprogs"},
	{"tune2fs", []string{"-V"}, dotted, "1.46", "e2fsprogs"},
	{"mke2fs", []string{"-V"}, dotted, "1.46", "e2fsprogs"},
	{"resize2fs", nil, dotted, "1.46", "e2fsprogs"},

	{"fsck.vfat", []string{"/dev/null"}, regexp.MustCompile(`fsck\.fat ([0-9.]+)`), "4.1", "dosfstools"},
	{"mkfs.vfat", []string{"/dev/null"}, regexp.MustCompile(`mkfs\.fat ([0-9.]+)`), "4.1", "dosfstools"},

	{"mcopy", []string{"--version"}, regexp.MustCompile(`mtools\) ([0-9.]+)`), "4.0", "mtools"},
	{"mdir", []string{"--version"}, regexp.MustCompile(`mtools\) ([0-9.]+)`), "4.0", "mtools"},
	{"mmd", []string{"--version"}, regexp.MustCompile(`mtools\) ([0-9.]+)`), "4.0", "mtools"},
	{"mtype", []string{"--version"}, regexp.MustCompile(`mtools\) ([0-9.]+)`), "4.0", "mtools"},

	{"sfdisk", []string{"--version"}, dotted, "2.33", "fdisk"},
	{"mkswap", []string{"--version"}, dotted, "2.36", "util-linux"},
	{"dumpimage", []string{"-V"}, dotted, "2020", "u-boot-tools"},
	{"mkimage", []string{"-V"}, dotted, "2020", "u-boot-tools"},
	{"mkenvimage", []string{"-V"}, dotted, "2020", "u-boot-tools"},
	{"veritysetup", []string{"--version"}, dotted, "2.0", "cryptsetup-bin"},
	{"genimage", []string{"--version"}, dotted, "14", "genimage"},
	{"dpkg-deb", []string{"--version"}, dotted, "1.19", "dpkg"},
	{"depmod", []string{"--version"}, dotted, "26", "kmod"},
	{"modinfo", []string{"--version"}, dotted, "26", "kmod"},
	{"cpio", []string{"--version"}, dotted, "2.12", "cpio"},
	{"sqlite3", []string{"--version"}, dotted, "3.34", "sqlite3"},
	{"promtool", []string{"--version"}, regexp.MustCompile(`version ([0-9.]+)`), "2.42", "promtool"},
	{"wpa_supplicant", []string{"-v"}, regexp.MustCompile(`wpa_supplicant v([0-9.]+)`), "2.10", "wpasupplicant"},
	{"zstd", []string{"--version"}, regexp.MustCompile(`v([0-9.]+)`), "1.4", "zstd"},
	{"xz", []string{"--version"}, dotted, "5.2", "xz-utils"},
	{"testparm", []string{"--version"}, regexp.MustCompile(`Version ([0-9.]+)`), "4.17", "samba-common-bin"},
	{"minisign", []string{"-v"}, dotted, "0.11", "minisign"},

	{"nginx", []string{"-v"}, regexp.MustCompile(`nginx/([0-9.]+)`), "1.18", "nginx"},
	{"lighttpd", []string{"-v"}, regexp.MustCompile(`lighttpd/([0-9.]+)`), "1.4", "lighttpd"},
	{"busybox", []string{"--help"}, regexp.MustCompile(`BusyBox v([0-9.]+)`), "1.30", "busybox"},
	{"bmaptool", []string{"--version"}, dotted, "3.6", "bmap-tools"},
	{"python3", []string{"--version"}, regexp.MustCompile(`Python ([0-9.]+)`), "3.8", "python3"},
}

// set is a group of packages that is unpacked together, with their dependencies.
type set struct {
	want []string
	drop []string // dependencies that the programs of the table do without
}

// sets is keyed by program.set. genimage calls mkfs.vfat and the mtools by name, so they come
// along.
var sets = map[string]set{
	"qemu": {
		want: []string{"qemu-system-arm"},
		// Sound, smart cards, braille, PAM and user management belong to QEMU's modules or to
		// maintainer scripts.
		drop: []string{"adduser", "base-passwd", "debconf", "libaudit-common", "libaudit1", "libasound2-data", "libasound2t64",
			"libbrlapi0.8", "libcacard0", "libdb5.3t64", "libdebconfclient0", "libnspr4", "libnss3", "libpam-modules",
			"libpam-modules-bin", "libpam0g", "libpcsclite1", "libsasl2-modules-db", "libsemanage-common", "libsemanage2",
			"libsepol2", "libsqlite3-0", "login.defs", "openssl-provider-legacy", "passwd"},
	},
	"squashfs-tools": {want: []string{"squashfs-tools"}},
	"e2fsprogs":      {want: []string{"e2fsprogs"}},
	"dosfstools":     {want: []string{"dosfstools"}},
	"mtools":         {want: []string{"mtools"}},
	"fdisk":          {want: []string{"fdisk"}},
	"util-linux":     {want: []string{"util-linux"}},
	"u-boot-tools":   {want: []string{"u-boot-tools"}, drop: []string{"openssl-provider-legacy"}},
	"cryptsetup-bin": {want: []string{"cryptsetup-bin"}, drop: []string{"openssl-provider-legacy"}},
	"genimage":       {want: []string{"genimage", "mtools", "dosfstools"}},
	"dpkg":           {want: []string{"dpkg", "tar"}},
	"kmod":           {want: []string{"kmod"}, drop: []string{"openssl-provider-legacy"}},
	"cpio":           {want: []string{"cpio"}},
	"zstd":           {want: []string{"zstd"}},
	"xz-utils":       {want: []string{"xz-utils"}},
	"sqlite3":        {want: []string{"sqlite3"}},
	"promtool":       {want: []string{"promtool"}},
	"wpasupplicant":  {want: []string{"wpasupplicant"}, drop: []string{"adduser", "openssl-provider-legacy", "passwd"}},
	"samba-common-bin": {want: []string{"samba-common-bin"}, drop: []string{"adduser", "debconf", "openssl-provider-legacy", "passwd", "python3", "ucf", "procps",
		"python3-samba", "perl-base", "libpam-runtime", "init-system-helpers", "lsb-base"}},
	"minisign": {want: []string{"minisign"}},
	"nginx":    {want: []string{"nginx"}, drop: []string{"openssl-provider-legacy"}},
	"lighttpd": {want: []string{"lighttpd"}, drop: []string{"openssl-provider-legacy"}},
	"busybox":  {want: []string{"busybox"}},
	"bmap-tools": {want: []string{"bmap-tools", "python3-minimal", "libpython3-stdlib"},
		drop: []string{"openssl-provider-legacy", "python3", "python3-six", "python3-gpg"}},
	"python3": {want: []string{"python3-minimal", "libpython3-stdlib"}, drop: []string{"openssl-provider-legacy"}},
}

func row(name string) (program, bool) {
	for _, p := range programs {
		if p.name == name {
			return p, true
		}
	}
	return program{}, false
}
