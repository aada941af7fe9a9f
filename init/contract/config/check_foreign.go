package config

import (
	"path"
	"strings"
)

// elsewhere are files that a program of k3OS or of another system read, and that nothing reads
// here: what people put there has no effect, and what to write instead.
var elsewhere = [][2]string{
	{"/etc/local.d/", "name the script in run_cmd"},
	{"/etc/init.d/", "write it under services"},
	{"/etc/runlevels/", "write it under services"},
	{"/etc/conf.d/", "remove it"},
	{"/etc/systemd/", "write it under services"},
	{"/etc/cron", "use a CronJob, or a service that sleeps"},
	{"/etc/periodic/", "use a CronJob, or a service that sleeps"},
	{"/etc/connman/", "use the section network"},
	{"/var/lib/connman/", "use the section network"},
	{"/etc/network/", "use the section network"},
	{"/etc/netplan/", "use the section network"},
	{"/etc/dhcpcd.conf", "use the section network"},
	{"/etc/wpa_supplicant/", "use network.wifi"},
	{"/etc/chrony", "use time.servers"},
	{"/etc/ntp.conf", "use time.servers"},
	{"/etc/sysctl", "use k3os.sysctls"},
	{"/etc/modules", "use k3os.modules"},
	{"/etc/modprobe.d/", "use k3os.modules, with the parameters after the name"},
	{"/etc/fstab", "use data.device"},
	{"/etc/apk/", "remove it"},
	{"/etc/apt/", "remove it"},
}

// ownFiles are written by the node itself: another content may lock everybody out.
var ownFiles = []string{"/etc/ssh/sshd_config", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/home/rancher/.ssh/authorized_keys"}

// nodeFiles are what the node writes itself, at every boot and later; and where that is set in the
// configuration.
var nodeFiles = map[string]string{
	"/etc/resolv.conf": "use network.dns and network.search", "/etc/hostname": "use hostname", "/etc/environment": "use k3os.environment",
	"/etc/localtime": "use time.zone", "/etc/timezone": "use time.zone", "/etc/machine-id": "remove it; the node keeps its own",
}

// NodeFile reports whether write_files must leave a path alone, because the node writes it, and
// returns what to use instead; "" for any other path.
func NodeFile(p string) string { return nodeFiles[path.Clean("/"+p)] }

// absent are programs of k3OS and of other systems that a node does not have.
var absent = []string{"connmanctl", "rc-update", "rc-service", "rc-status", "openrc", "service", "systemctl", "timedatectl", "hostnamectl", "apt", "apt-get", "apk", "dpkg", "raspi-config", "netplan", "update-rc.d", "setup-timezone", "useradd", "adduser"}

// checkCommands points out lines that call a program which is not there: the line fails, and the
// phase ends with it.
func (k *checker) checkCommands() {
	for _, phase := range []struct {
		name  string
		lines []string
	}{{"init_cmd", k.c.InitCmd}, {"boot_cmd", k.c.BootCmd}, {"run_cmd", k.c.RunCmd}} {
		for i, line := range phase.lines {
			// What fails in a line of cloud-init's runcmd costs nothing.
			k.checkLine(index(phase.name, i), line, strings.HasPrefix(line, "("), true)
		}
	}
}

// checkLine looks at the commands of a line; guarded and last are those of the line as a whole.
func (k *checker) checkLine(here, line string, guarded, last bool) {
	for _, c := range shellCalls(line) {
		c.guarded, c.last = c.guarded || guarded, c.last && last
		if len(c.words) > 2 && contains([]string{"sh", "ash", "bash"}, path.Base(c.words[0])) && strings.HasPrefix(c.words[1], "-") && strings.HasSuffix(c.words[1], "c") {
			k.checkLine(here, c.words[2], c.guarded, c.last)
			continue
		}
		k.checkCall(here, c)
	}
}

// checkCall looks at one command of a line.
func (k *checker) checkCall(here string, c shellCall) {
	name := path.Base(c.words[0])
	what, fix := "", "remove the line; networks, services and the time zone have their own sections"
	switch {
	case swapsTo(c.words):
		k.report(Error, here, useZram, "%s", noSwap)
		return
	case contains(absent, name):
		what = "this system has no " + name
	case strings.HasPrefix(c.words[0], "/etc/init.d/"):
		what, fix = "this system has no /etc/init.d", "use shelf restart NAME, or write it under services"
	}
	switch {
	case what == "" || c.guarded:
	case c.last:
		k.report(Error, here, fix, "%s; the line fails, and those after it are not run", what)
	default:
		k.report(Warning, here, fix, "%s; that command of the line fails, and the others are run", what)
	}
}

// checkForeign points out files of write_files that have no effect here, or too much of it.
func (k *checker) checkForeign() {
	for i, f := range k.c.WriteFiles {
		here, clean := index("write_files", i)+".path", path.Clean(f.Path)
		if use := NodeFile(f.Path); use != "" {
			k.report(Error, here, use, "the node writes %s itself; it is left out", clean)
		}
		if contains(ownFiles, clean) {
			k.report(Warning, here, "leave it to the node", "%s is the node's own file; a slip in it locks everybody out", clean)
		}
		for _, e := range elsewhere {
			if strings.HasPrefix(clean, e[0]) && !(strings.HasPrefix(clean, connmanDir) && path.Ext(clean) == ".config") {
				k.report(Warning, here, e[1], "nothing reads %s on this system", quote(f.Path))
				break
			}
		}
	}
}
