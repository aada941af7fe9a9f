package apply

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/overlays"
	"imgbuild/qemu/tool"
)

// The files of this package as the programs read them that they are for: Debian 13's own, without
// privileges, in a root of their own.

// here returns a machine with the image's /etc.
func here(t *testing.T) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
	files, _, err := overlays.Get("base")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(m.Root, files); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.Root+"/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

// try runs a program that sees the machine's files; out is what it prints on both outputs.
func (m Machine) try(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	mounts := map[string]string{}
	for _, dir := range []string{"/etc", "/run", "/var", "/home"} {
		if _, err := os.Stat(m.Root + dir); err == nil {
			mounts[dir] = m.Root + dir
		}
	}
	cmd, err := tool.Inside(t.Context(), mounts, args...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := cmd.CombinedOutput()
	return string(text), err
}

func (m Machine) ask(t *testing.T, args ...string) string {
	t.Helper()
	out, err := m.try(t, args...)
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	return out
}

// each runs a script of bash once for every case, all in one start of the readers, and returns what
// it printed for each. A case is files, path -> content, which replace those of the machine.
func (m Machine) each(t *testing.T, cases []map[string]string, script string) []string {
	t.Helper()
	for i, files := range cases {
		for path, content := range files {
			path = m.path(fmt.Sprintf("/run/cases/%04d", i) + path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(m.path(Home), 0o755); err != nil {
		t.Fatal(err)
	}
	out := m.ask(t, "bash", "-c", "for c in /run/cases/*; do cp -r $c/. / || exit 1; "+script+"; printf '\\0'; done")
	got := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if len(got) != len(cases) {
		t.Fatalf("%d answers to %d cases:\n%s", len(got), len(cases), out)
	}
	return got
}

// content returns files of the machine, by path.
func (m Machine) content(t *testing.T, paths ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(m.path(path))
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(text)
	}
	return files
}

// effective returns sshd's own view of its configuration: name -> values.
func (m Machine) effective(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(m.ask(t, "/usr/sbin/sshd", "-T", "-f", "/etc/ssh/sshd_config")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = append(all[name], value)
	}
	return all
}

func weak(t *testing.T, effective map[string][]string) (list []string) {
	t.Helper()
	baseline, err := os.ReadFile("testdata/ssh-baseline.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(baseline)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		rows++
		allowed := strings.Fields(line)
		got := strings.Split(strings.Join(effective[allowed[0]], ","), ",")
		for _, name := range got {
			if !slices.Contains(allowed[1:], name) {
				list = append(list, allowed[0]+" "+name)
			}
		}
	}
	if rows != 3 {
		t.Fatalf("the baseline has %d rows, want 3", rows)
	}
	return list
}

// sshd reads every option as it is meant, and offers nothing that the baseline does not allow.
func TestSSHDReads(t *testing.T) {
	m := here(t)
	if err := m.SSHD(); err != nil {
		t.Fatal(err)
	}
	got := m.effective(t)
	if list := weak(t, got); len(list) > 0 {
		t.Errorf("below the baseline: %v", list)
	}
	for _, o := range sshdOptions {
		name, want, _ := strings.Cut(o.line, " ")
		value := strings.Join(got[strings.ToLower(name)], " ")
		if strings.EqualFold(name, "AcceptEnv") {
			want = "LANG LC_*"
		}
		if !strings.EqualFold(value, want) {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	for name, want := range map[string]string{ // defaults that the node relies on
		"permitemptypasswords": "no", "hostbasedauthentication": "no", "ignorerhosts": "yes", "strictmodes": "yes", "gssapiauthentication": "no",
		"port": "22", "hostkey": KeyDir + "/ssh_host_ed25519_key " + KeyDir + "/ssh_host_ecdsa_key", "persourcepenaltyexemptlist": "none",
	} {
		if value := strings.Join(got[name], " "); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	// The control: what sshd does by itself is below the baseline.
	text, err := os.ReadFile(m.path("/etc/ssh/sshd_config"))
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return strings.HasPrefix(l, "MACs ") })
	if err := os.WriteFile(m.path("/etc/ssh/sshd_config"), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if list := weak(t, m.effective(t)); !slices.Contains(list, "macs hmac-sha1") {
		t.Errorf("without MACs nothing is below the baseline but %v", list)
	}
}

// sudo takes the image's file and the one of the boot, and lets the login user do everything.
func TestSudoReads(t *testing.T) {
	m := here(t)
	if err := m.Sudo(); err != nil {
		t.Fatal(err)
	}
	main := "Defaults\tenv_reset\nroot\tALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"
	if err := os.WriteFile(m.path("/etc/sudoers"), []byte(main), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("/etc/pam.d/sudo"), []byte("@include common-auth\n@include common-account\n@include common-session-noninteractive\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.path("/etc/sudoers.d/shelf"), 0o440); err != nil { // overlays/base.yaml
		t.Fatal(err)
	}
	out := m.ask(t, "visudo", "-c")
	for _, file := range []string{"/etc/sudoers", "/etc/sudoers.d/90-shelf", "/etc/sudoers.d/shelf"} {
		if !strings.Contains(out, file+": parsed OK") {
			t.Errorf("visudo does not take %s:\n%s", file, out)
		}
	}
	if out := m.ask(t, "sudo", "-n", "-l", "-U", User); !strings.Contains(out, "(ALL : ALL) NOPASSWD: ALL") {
		t.Errorf("sudo gives %s:\n%s", User, out)
	}
	if err := m.write("/etc/sudoers.d/bad", "nonsense\n", 0o440); err != nil {
		t.Fatal(err)
	}
	if out, err := m.try(t, "visudo", "-c"); err == nil {
		t.Errorf("the control passes:\n%s", out)
	}
}

// Every host name that a configuration may have is found by glibc's reader of /etc/hosts, with its
// short form, next to localhost; any other never gets there.
func TestHostsRead(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	letters := []rune("abcXYZ0129-.__ #\t\n\"'\\$%/:\u00e4")
	names := []string{"node", "Node-1.lan", "a", "1", strings.Repeat("a", 63), strings.Repeat("a", 31) + "." + strings.Repeat("b", 31), "localhost1", "a.b.c.d"}
	refused := 0
	for i := range 200 {
		from := letters[:12]
		if i%2 == 0 {
			from = letters
		}
		var b strings.Builder
		for range 1 + r.IntN(10) {
			b.WriteRune(from[r.IntN(len(from))])
		}
		names = append(names, b.String())
	}
	var taken []string
	var cases []map[string]string
	for _, name := range names {
		c := &config.Config{Hostname: name}
		if c.UsableHostname() == "" || strings.Contains(fmt.Sprint(config.Check(c, config.Facts{})), "as an IPv4 address") {
			refused++
			continue
		}
		m := here(t)
		if err := m.Names(name); err != nil {
			t.Fatal(err)
		}
		short, _, _ := strings.Cut(name, ".")
		if strings.Trim(short, "0123456789") == "" {
			short = name // an address again
		}
		files := m.content(t, "/etc/hosts", "/etc/hostname")
		files["/run/ask"] = name + " " + short + " localhost"
		taken, cases = append(taken, name), append(cases, files)
	}
	for i, out := range here(t).each(t, cases, "getent -s files hosts $(</run/ask); cat /etc/hostname") {
		name, lines := taken[i], strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 4 || strings.Fields(lines[0])[0] != "127.0.1.1" || strings.Fields(lines[0])[1] != name || strings.Fields(lines[1])[0] != "127.0.1.1" || !strings.Contains(lines[2], "localhost") || lines[3] != name {
			t.Errorf("%q: %q", name, lines)
		}
	}
	if refused < 60 || len(names)-refused < 20 {
		t.Errorf("%d of %d names are refused", refused, len(names))
	}
}

// A password hash that is taken is what glibc reads from /etc/shadow, and no other line changes.
func TestShadowReads(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	good := config.HashPassword("canary", []byte("0123456789abcdef"))
	hashes := []string{"", "!", "*", good, "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"}
	letters := []rune("$6y./aA0:\n\t #!*\\\u00e4")
	for range 120 { // mistakes in a good one
		h := []rune(good)
		h[r.IntN(len(h))] = letters[r.IntN(len(letters))]
		hashes = append(hashes, string(h))
	}
	var taken []string
	m := here(t)
	before := m.ask(t, "getent", "-s", "files", "shadow", "root", "sshd", "nobody")
	var cases []map[string]string
	for _, h := range hashes {
		if err := m.Password(h); err != nil {
			continue
		}
		if h == "" {
			h = "!"
		}
		taken, cases = append(taken, h), append(cases, m.content(t, "/etc/shadow"))
	}
	for i, out := range m.each(t, cases, "getent -s files shadow "+User+" root sshd nobody") {
		own, others, _ := strings.Cut(out, "\n")
		if f := strings.Split(own, ":"); len(f) != 9 || f[0] != User || f[1] != taken[i] || others != before {
			t.Errorf("%q: %q", taken[i], out)
		}
	}
	if len(taken) < 5 || len(taken) > len(hashes)/2 {
		t.Errorf("%d of %d are taken", len(taken), len(hashes))
	}
}

// Whatever is between keys, OpenSSH reads every key of the list, and no key that is not in it.
func TestAuthorizedKeysRead(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 11))
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIbmwLVPhF9wwHCGyEEU1iTfDWVfVcJJtZ4MrTpBeLfu"
	between := []string{"", "#", "# a comment", "nonsense", "ssh-ed25519", "\"", "command=\"", "a\tb", "\u00e4\u20ac", "restrict", strings.Repeat("x", 9000), "\\", "github:someone", "-----BEGIN"}
	file := filepath.Join(Home, ".ssh/authorized_keys")
	var lists, wants [][]string
	var cases []map[string]string
	for range 25 {
		var list, want []string
		for i := range 12 {
			if r.IntN(2) == 0 {
				list = append(list, between[r.IntN(len(between))])
				continue
			}
			name := fmt.Sprintf("key%d", i)
			want = append(want, name)
			line := []string{"%s " + key + " %s", " %s\t" + key + "   %s \r\n", "%s " + key + " %s # no comment"}[r.IntN(3)]
			list = append(list, strings.TrimPrefix(fmt.Sprintf(line, []string{"", `command="echo \"a,b\" # c",no-pty`, "restrict"}[r.IntN(3)], name), " "))
		}
		m := here(t)
		if err := m.Keys(list); err != nil {
			t.Fatal(err)
		}
		lists, wants, cases = append(lists, list), append(wants, want), append(cases, m.content(t, file))
	}
	for i, out := range here(t).each(t, cases, "ssh-keygen -l -f "+file+" 2>&1") { // it fails for a list without keys
		var got []string
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == "256" {
				got = append(got, f[2])
			}
		}
		if !slices.Equal(got, wants[i]) {
			t.Errorf("got %v, want %v of\n%q\n%s", got, wants[i], lists[i], out)
		}
	}
}
