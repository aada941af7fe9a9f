package scenarios

import (
	"io/fs"
	"strings"
	"testing"

	"imgbuild/init/base/sysctl"
	"imgbuild/overlays"
)

// hardened reads back what a booted node has of docs/SECURITY.md's table: kernel settings, modes,
// processes, and that no user can read the secrets that the node was given.
func hardened(t *testing.T, s *shell, hidden bool, secrets string) {
	t.Helper()
	files, _, err := overlays.Get("base")
	if err != nil {
		t.Fatal(err)
	}
	text, err := fs.ReadFile(files, strings.TrimPrefix(sysctl.Dir, "/")+"/50-shelf.conf")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := sysctl.Parse(string(text))
	if err != nil || len(settings) == 0 {
		t.Fatal(err)
	}
	command := "cd /proc/sys; sudo tail -n +1"
	for _, x := range settings {
		command += " " + x.Path()
	}
	for block := range strings.SplitSeq(s.run(command), "==> ") {
		name, value, ok := strings.Cut(block, " <==\n")
		for i, x := range settings {
			if ok && x.Path() == name && strings.Join(strings.Fields(value), " ") == x.Value {
				settings[i].Value = ""
			}
		}
	}
	for _, x := range settings {
		if x.Value != "" {
			t.Errorf("%s is not %s, want %q", x.Name, x.Value, "")
		}
	}
	// Every card that came later has taken the defaults.
	if got := s.run("cat /proc/sys/net/ipv4/conf/eth0/rp_filter /proc/sys/net/ipv4/conf/eth0/accept_redirects /proc/sys/net/ipv6/conf/eth0/accept_redirects"); got != "2\n0\n0" {
		t.Errorf("eth0: %q", got)
	}

	// What is in no slot's /usr, which TestImageFormats covers. What containers have in their own
	// file systems is theirs.
	loose := s.run(`sudo find / /etc /run /tmp /dev /usr/local -xdev -path /var/lib/rancher/k3s -prune -o ! -type l \( -perm -0002 -o -perm /6000 -o -type b -perm /0006 \) -exec stat -c '%a:%F:%n' {} + | sort -u`)
	for line := range strings.SplitSeq(loose, "\n") {
		f := strings.SplitN(line, ":", 3)
		switch {
		case len(f) != 3:
			t.Errorf("find prints %q", line)
		case f[1] == "directory" && f[0] == "1777": // sticky
		case f[1] == "character special file" && strings.HasPrefix(f[2], "/dev/"): // devices that are for everybody
		case f[1] == "socket" && f[2] == "/run/shelf.sock": // asks for the caller
		default:
			t.Errorf("mode %s of the %s %s", f[0], f[1], f[2])
		}
	}
	if !strings.Contains(loose, "1777:directory:/tmp") {
		t.Errorf("find prints\n%s", loose)
	}
	wants := map[string]string{
		"sudo stat -c '%a %U:%G %n' /etc/shadow /etc/gshadow /etc/sudoers /etc/sudoers.d/90-shelf /etc/ssh/sshd_config /var/lib/shelf /var/log/shelf /home/rancher /root /run/shelf": "640 root:shadow /etc/shadow\n640 root:shadow /etc/gshadow\n440 root:root /etc/sudoers\n440 root:root /etc/sudoers.d/90-shelf\n644 root:root /etc/ssh/sshd_config\n" +
			"700 root:root /var/lib/shelf\n755 root:root /var/log/shelf\n700 rancher:rancher /home/rancher\n700 root:root /root\n755 root:root /run/shelf",
		// The logs of units reach the card a while after they were written.
		"sudo find /var/log/shelf -type f ! -perm 640": "",
		// A service with a user cannot gain rights; the init can.
		"sudo sed -n 's/^NoNewPrivs:\\t//p' /proc/1/status /proc/$(cat /sys/fs/cgroup/shelf/node-exporter/cgroup.procs)/status": "0\n1",
		"sudo -u nobody dmesg >/dev/null 2>&1; echo $?": "1",
	}
	for command, want := range wants {
		if got := s.run(command); got != want {
			t.Errorf("%s\nprints %q\nwant   %q", command, got, want)
		}
	}
	if got := s.run("sudo -u nobody ls /proc | grep -c '^[0-9]' || true"); (got == "1" || got == "2" || got == "3") != hidden {
		t.Errorf("nobody sees %s processes; hidden: %v", got, hidden)
	}
	if got := s.run("ps | grep -c '[s]shd' || true"); got == "0" {
		t.Error("the login user does not see the system's processes")
	}
	// What a stranger on the node can read holds no secret.
	find := "sudo -u nobody find /etc /home /k3os /opt /root /run /srv /tmp /var -xdev -type f -size -1024k -exec grep -l '" + secrets + "' {} + 2>/dev/null || true"
	if got := s.run(find); got != "" {
		t.Errorf("nobody can read secrets in\n%s", got)
	}
}
