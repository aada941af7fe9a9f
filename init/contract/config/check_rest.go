package config

import (
	"errors"
	"net/url"
	"path"
	"strings"

	"imgbuild/init/contract/fault"

	"golang.org/x/crypto/ssh"
)

var (
	sysctlName  = pattern{text: `^[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_*:@-]+)+$`}
	moduleName  = pattern{text: `^[A-Za-z0-9_-]+$`}
	environName = pattern{text: `^[A-Za-z_][A-Za-z0-9_]*$`}
	serviceName = pattern{text: `^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$`}
	ownerName   = pattern{text: `^[A-Za-z0-9_.-]+(?::[A-Za-z0-9_.-]*)?$|^:[A-Za-z0-9_.-]+$`}
)

func (k *checker) checkFiles() {
	for i, f := range k.c.WriteFiles {
		here := index("write_files", i)
		clean := path.Clean(f.Path)
		switch {
		case f.Path == "":
			k.report(Error, here, "set path", "the file has no path")
		case !path.IsAbs(f.Path):
			k.report(Error, here+".path", "begin it with /", "%s is not an absolute path; the file is left out", quote(f.Path))
		case clean == "/" || strings.HasSuffix(f.Path, "/"):
			k.report(Error, here+".path", "name a file in it", "%s is a directory", quote(f.Path))
		case clean == "/usr/local" || strings.HasPrefix(clean, "/usr/local/"):
		case below(clean, "/usr", "/bin", "/sbin", "/lib", "/boot", "/k3os/system", "/proc", "/sys"):
			k.report(Error, here+".path", "choose a path in /etc, /var, /opt or /usr/local", "%s cannot be written on a running node", quote(f.Path))
		}
		if _, err := f.Data(); err != nil {
			k.report(Error, here+".content", "encode it again, or correct encoding", "%v", err)
		}
		if f.Owner != "" && !ownerName.MatchString(f.Owner) {
			k.report(Error, here+".owner", "write user, or user:group", "%s is not an owner", quote(f.Owner))
		}
	}
}

func below(p string, dirs ...string) bool {
	for _, d := range dirs {
		if p == d || strings.HasPrefix(p, d+"/") {
			return true
		}
	}
	return false
}

func (k *checker) checkKernel() {
	c := k.c.K3OS
	for _, name := range sortedNames(c.Sysctls) {
		switch v := strings.TrimSpace(c.Sysctls[name]); {
		case !sysctlName.MatchString(name):
			k.report(Error, "k3os.sysctls."+name, "write it like net.core.somaxconn", "%s is not the name of a kernel setting", quote(name))
		case v == "":
			k.report(Error, "k3os.sysctls."+name, "give it a value", "the kernel setting has no value")
		case SysctlPath(name) == "net/ipv4/ip_forward" && v == "0" && contains(k3sRoles, k.role):
			k.report(Warning, "k3os.sysctls."+name, "remove it", "pods cannot reach each other without forwarding; k3s turns it on again")
		}
	}
	for i, m := range c.Modules {
		if f := strings.Fields(m); len(f) == 0 || !moduleName.MatchString(f[0]) {
			k.report(Error, index("k3os.modules", i), "write the name, then its parameters", "%s is not the name of a kernel module", quote(m))
		}
	}
	for _, name := range sortedNames(c.Environment) {
		if !environName.MatchString(name) {
			k.report(Error, "k3os.environment."+name, "use letters, digits and _", "%s is not the name of a variable", quote(name))
		} else if strings.ContainsAny(c.Environment[name], "\n\r\x00") {
			k.report(Error, "k3os.environment."+name, "write it on one line", "the value has more than one line")
		}
	}
}

func (k *checker) checkServices() {
	for _, name := range sortedNames(k.c.Services) {
		s, here := k.c.Services[name], "services."+name
		if !serviceName.MatchString(name) {
			k.report(Error, here, "use small letters, digits and -, 32 at most", "%s is not the name of a service", quote(name))
		}
		if len(s.Command) == 0 || s.Command[0] == "" {
			k.report(Error, here, "set command", "the service has no command")
		} else if p := s.Command[0]; strings.Contains(p, "/") && !path.IsAbs(p) {
			k.report(Error, here+".command", "begin it with /", "%s is not an absolute path", quote(p))
		}
		ways := 0
		for _, set := range []bool{s.Ready.Notify, s.Ready.TCP != "", s.Ready.File != "", len(s.Ready.Command) > 0} {
			if set {
				ways++
			}
		}
		if ways > 1 {
			k.report(Error, here+".ready", "keep one of notify, tcp, file and command", "there are %d ways to be ready", ways)
		}
		k.checkNeeds(name)
		k.checkStart(s, here)
		k.checkConfined(s, here)
		if s.CPU < 0 {
			k.report(Error, here+".cpu", "write a per cent of one core", "%d is not a share of a CPU", s.CPU)
		}
		if s.Pids < 0 {
			k.report(Error, here+".pids", "write a number of processes", "%d is not a number of processes", s.Pids)
		}
		if s.Memory > 0 && s.MemoryHigh >= s.Memory {
			k.report(Warning, here+".memory_high", "set it below memory", "the service is killed before it is slowed down")
		}
	}
}

func (k *checker) checkRest() {
	c := k.c
	k.checkZone()
	if _, _, err := c.Monitoring.ListenAddress(); err != nil {
		var f *fault.Error
		errors.As(err, &f)
		k.report(Error, "monitoring.listen", f.Fix, "%s", f.What)
	}
	if d := c.Data.Device; d != "" {
		tag, rest, ok := strings.Cut(d, "=")
		if !(ok && rest != "" && contains([]string{"UUID", "LABEL", "PARTUUID", "PARTLABEL"}, tag)) && !strings.HasPrefix(path.Clean(d), "/dev/") {
			k.report(Error, "data.device", "write it like LABEL=k3sdata or UUID=...", "%s names no disk", quote(d))
		}
		if clean := path.Clean(d); strings.HasPrefix(clean, "/dev/disk/by-id/") || strings.HasPrefix(clean, "/dev/disk/by-path/") {
			k.report(Error, "data.device", "write UUID=..., as `blkid` on the node prints it", "%s is a name that udev gives elsewhere, and that does not exist on the node", quote(d))
		}
	}
	if t := c.Backup.To; t != "" {
		const form = "write it like sftp://backup@nas/shelf"
		u, err := url.Parse(t)
		if err != nil || u.Host == "" || !contains([]string{"nfs", "sftp"}, u.Scheme) {
			k.report(Error, "backup.to", form, "this is neither an nfs:// nor an sftp:// URL")
		} else if len(u.Path) < 2 {
			k.report(Error, "backup.to", form, "the URL names no directory")
		} else if u.Scheme == "sftp" && u.User.Username() == "" {
			k.report(Error, "backup.to", form, "the URL names no user")
		} else if _, has := u.User.Password(); has {
			k.report(Error, "backup.to", "take it out; on the node `shelf backup key` prints the key to allow there", "the password in the URL is not used, and stays readable on the boot partition")
		}
	}
	if c.Backup.To != "" && c.Backup.Keep < 1 {
		k.report(Error, "backup.keep", "write a number above 0", "%d copies cannot be kept", c.Backup.Keep)
	}
	if h := c.Backup.HostKey; h != "" {
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h)); err != nil {
			k.report(Error, "backup.host_key", "copy the one line of the server's /etc/ssh/ssh_host_ed25519_key.pub", "this is not an ssh public key")
		}
	}
	k.checkAddons()
}
