package config

import (
	"path"
	"strings"
)

// elsewhere are files that a program of k3OS or of another system read, and that nothing reads here: what people put there
// has no effect, and what to write instead.
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
	{"/etc/modprobe.d/", "use k3os.modules, with the parameters behind the name"},
	{"/etc/fstab", "use data.device"},
	{"/etc/apk/", "remove it"},
	{"/etc/apt/", "remove it"},
}

// ownFiles are written by the node itself: another content may lock everybody out.
var ownFiles = []string{"/etc/ssh/sshd_config", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/home/rancher/.ssh/authorized_keys"}

// checkForeign points out files of write_files that have no effect here, or too much of it.
func (k *checker) checkForeign() {
	for i, f := range k.c.WriteFiles {
		here, clean := index("write_files", i)+".path", path.Clean(f.Path)
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
