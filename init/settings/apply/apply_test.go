package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHw8WBtRRxbMs3dCD1WoWOfx3IP55xZmLXCC8CqOsl+4 me@laptop"

// box is a node's root in a directory, owned by the user who runs the test.
func box(t *testing.T) Machine {
	t.Helper()
	m := Machine{Root: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
	for path, text := range map[string]string{
		"/etc/shadow":      "root:*:20000:0:99999:7:::\nrancher:!:20000:0:99999:7:::\n",
		"/etc/passwd":      "root:x:0:0::/root:/bin/bash\nrancher:x:1000:1001::/home/rancher:/bin/bash\n",
		"/etc/group":       "root:x:0:\nshelf:x:900:rancher\n",
		"/etc/environment": "# ours\nA=old\nKEEP=1\n",
	} {
		os.MkdirAll(filepath.Dir(m.Root+path), 0o755)
		if err := os.WriteFile(m.Root+path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m Machine) read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(m.Root + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNames(t *testing.T) {
	m := box(t)
	if err := m.Names("node1.lan"); err != nil {
		t.Fatal(err)
	}
	if m.read(t, "/etc/hostname") != "node1.lan\n" || !strings.Contains(m.read(t, "/etc/hosts"), "127.0.1.1\tnode1.lan node1\n") {
		t.Error(m.read(t, "/etc/hosts"))
	}
}

func TestKeysAreExact(t *testing.T) {
	m := box(t)
	if err := m.Keys([]string{key, "github:someone", "  ", "ssh-rsa BBBB x"}); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t, Home+"/.ssh/authorized_keys"); got != key+"\nssh-rsa BBBB x\n" {
		t.Errorf("%q", got)
	}
	if err := m.Keys([]string{"ssh-rsa BBBB x"}); err != nil {
		t.Fatal(err)
	}
	if got := m.read(t, Home+"/.ssh/authorized_keys"); got != "ssh-rsa BBBB x\n" {
		t.Errorf("a key that was taken out is still there: %q", got)
	}
	for path, mode := range map[string]os.FileMode{Home: 0o700, Home + "/.ssh": 0o700, Home + "/.ssh/authorized_keys": 0o600} {
		if st, _ := os.Stat(m.Root + path); st.Mode().Perm() != mode {
			t.Errorf("%s: %v", path, st.Mode())
		}
	}
}

func TestPassword(t *testing.T) {
	m := box(t)
	const hash = "$6$salt1234$7vYDzW/0BSK6g.QJXnin/odIMK9hfjAdb4JkTDxpk.1htoyOUm8eFCuJUZ4J9d1Z.KGmArwsl5OLBN1nBRZRZ0"
	for _, c := range [][2]string{{hash, "rancher:" + hash + ":20000:"}, {"", "rancher:!:20000:"}} {
		if err := m.Password(c[0]); err != nil {
			t.Fatal(err)
		}
		got := m.read(t, "/etc/shadow")
		if !strings.Contains(got, c[1]) || !strings.HasPrefix(got, "root:*:") || strings.Count(got, "\n") != 2 {
			t.Errorf("%q", got)
		}
	}
	if st, _ := os.Stat(m.Root + "/etc/shadow"); st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := m.Password("x:0:0\nroot2:"); err == nil || strings.Contains(m.read(t, "/etc/shadow"), "root2") {
		t.Errorf("a line break gets into shadow: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	m := box(t)
	err := m.Environment(map[string]string{"A": "new", "HTTP_PROXY": "http://x y", "BAD": "a\nb"})
	if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "BAD") {
		t.Errorf("%v", err)
	}
	if got, want := m.read(t, "/etc/environment"), "# ours\nKEEP=1\nA=new\nHTTP_PROXY=http://x y\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSysctls(t *testing.T) {
	m := box(t)
	os.MkdirAll(m.Root+"/proc/sys/net/ipv4/conf/eth0.5", 0o755)
	os.MkdirAll(m.Root+"/proc/sys/kernel", 0o755)
	for _, path := range []string{"kernel/printk", "net/ipv4/conf/eth0.5/rp_filter"} {
		os.WriteFile(m.Root+"/proc/sys/"+path, nil, 0o644)
	}
	err := m.Sysctls(map[string]string{"kernel.printk": "4 4 1 7", "net/ipv4/conf/eth0.5/rp_filter": "1", "no.such": "1", "../../etc/passwd": "1"})
	if err == nil || !strings.Contains(err.Error(), "no.such") {
		t.Errorf("%v", err)
	}
	if m.read(t, "/proc/sys/kernel/printk") != "4 4 1 7\n" || m.read(t, "/proc/sys/net/ipv4/conf/eth0.5/rp_filter") != "1\n" {
		t.Error("values are not written")
	}
	if m.read(t, "/etc/passwd") == "1\n" {
		t.Error("a name reaches out of /proc/sys")
	}
}

// Values of an interface that comes later are written when it does, each form of its name the same.
func TestLinkSysctls(t *testing.T) {
	m := box(t)
	m.Track = &Track{}
	values := map[string]string{"net.ipv4.conf.eth0/20.arp_ignore": "2", "net/ipv4/conf/eth0.20/rp_filter": "1", "net.ipv4.conf.eth1.rp_filter": "2"}
	if err := m.Sysctls(values); err != nil {
		t.Errorf("before the interface is there: %v", err)
	}
	dir := m.Root + "/proc/sys/net/ipv4/conf/eth0.20/"
	os.MkdirAll(dir, 0o755)
	for _, name := range []string{"arp_ignore", "rp_filter"} {
		os.WriteFile(dir+name, []byte("0\n"), 0o644)
	}
	if err := m.LinkSysctls("eth0.20", values); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{"arp_ignore": "2\n", "rp_filter": "1\n"} {
		if got := m.read(t, "/proc/sys/net/ipv4/conf/eth0.20/"+name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// A name that the kernel does not have is still reported, and what is taken out is what it was.
	if err := m.LinkSysctls("eth0.20", map[string]string{"net.ipv4.conf.eth0/20.no_such": "1"}); err == nil {
		t.Error("a setting that does not exist is not an error")
	}
	if err := m.Sysctls(nil); err != nil || !strings.HasPrefix(m.read(t, "/proc/sys/net/ipv4/conf/eth0.20/arp_ignore"), "0\n") {
		t.Errorf("%v", err)
	}
	m.Sysctls(values)
	os.RemoveAll(m.Root + "/proc/sys/net/ipv4/conf/eth0.20")
	if err := m.Sysctls(nil); err != nil {
		t.Errorf("the interface went: %v", err)
	}
}

func TestFiles(t *testing.T) {
	m := box(t)
	err := m.Files([]config.File{
		{Path: "/opt/a/b", Content: "aGVsbG8=", Encoding: "b64", Permissions: "0750"},
		{Path: "/opt/bad", Content: "%%%", Encoding: "b64"},
		{Path: "/opt/nobody", Content: "x", Owner: "nosuchuser"},
		{Path: "/../../../opt/inside", Content: "in"},
		{Path: "opt/relative", Content: "out"},
		{Path: "/opt/last", Content: "last"},
	})
	if err == nil || !strings.Contains(err.Error(), "/opt/bad") || !strings.Contains(err.Error(), `no user "nosuchuser"`) {
		t.Errorf("%v", err)
	}
	if m.read(t, "/opt/a/b") != "hello" || m.read(t, "/opt/last") != "last" || m.read(t, "/opt/inside") != "in" {
		t.Error("an item that fails costs others")
	}
	if _, err := os.Stat(m.Root + "/opt/relative"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a relative path: got %v, want no file", err)
	}
	if st, _ := os.Stat(m.Root + "/opt/a/b"); st.Mode().Perm() != 0o750 {
		t.Errorf("%v", st.Mode())
	}
	if left, _ := filepath.Glob(m.Root + "/opt/.new-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOwner(t *testing.T) {
	m := box(t)
	for text, want := range map[string][2]int{"rancher": {1000, 0}, "rancher:": {1000, 1001}, "rancher:shelf": {1000, 900}, ":shelf": {0, 900}, "7:8": {7, 8}} {
		if uid, gid, err := m.owner(text); err != nil || [2]int{uid, gid} != want {
			t.Errorf("%s: %d:%d %v", text, uid, gid, err)
		}
	}
	if _, _, err := m.owner("rancher:nogroup"); err == nil {
		t.Error("an unknown group is taken")
	}
}

func TestSSHD(t *testing.T) {
	m := box(t)
	if err := m.SSHD(); err != nil {
		t.Fatal(err)
	}
	got := m.read(t, "/etc/ssh/sshd_config")
	for _, want := range []string{"PermitRootLogin no\n", "PasswordAuthentication no\n", "AllowUsers rancher\n", "HostKey /var/lib/rancher/k3os/ssh/ssh_host_ed25519_key\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

// TestNoSpaceForKeys: a node whose data partition takes no writes still takes logins.
func TestNoSpaceForKeys(t *testing.T) {
	m := box(t)
	for _, dir := range []string{KeyDir, filepath.Dir(MachineIDFile)} { // files in the place of the directories, which stop root too
		if err := os.MkdirAll(filepath.Dir(m.Root+dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(m.Root + dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.Root+dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SSHD(); err == nil {
		t.Error("nothing is reported")
	}
	key := regexp.MustCompile(`HostKey (\S+)`).FindStringSubmatch(m.read(t, "/etc/ssh/sshd_config"))
	if key == nil || m.read(t, key[1]) == "" {
		t.Errorf("sshd has no key: %q", key)
	}
}

func TestMachineID(t *testing.T) {
	m := box(t)
	if err := m.MachineID(); err != nil {
		t.Fatal(err)
	}
	if m.read(t, "/etc/machine-id") != m.read(t, MachineIDFile) {
		t.Error("two ids")
	}
}

func TestZone(t *testing.T) {
	m := box(t)
	os.MkdirAll(m.Root+"/usr/share/zoneinfo/Europe", 0o755)
	os.WriteFile(m.Root+"/usr/share/zoneinfo/Europe/Berlin", nil, 0o644)
	if err := m.Zone("Europe/Berlin"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.Readlink(m.Root + "/etc/localtime"); got != "../usr/share/zoneinfo/Europe/Berlin" {
		t.Errorf("%q", got)
	}
	if err := m.Zone("Moon/Crater"); fault.Code(err) != int(fault.Input) {
		t.Errorf("%v, want code %v", err, int(fault.Input))
	}
}

func TestFetch(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "# a comment\n%s\n", key)
	}))
	defer s.Close()
	got, err := Fetch(context.Background(), s.Client(), []string{"ssh-rsa AAAA", s.URL + "/me.keys"})
	if err != nil || len(got) != 1 || got[0] != key {
		t.Errorf("%v %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Fetch(ctx, s.Client(), []string{"github:someone"}); err == nil {
		t.Error("keys without a network")
	}
	if address("github:me") != "https://github.com/me.keys" || address("http://x/y") != "http://x/y" {
		t.Error("addresses")
	}
}

func TestCommands(t *testing.T) {
	log := supervise.NewLog("", "commands", supervise.DefaultLogLimits)
	mark := t.TempDir() + "/mark"
	err := Commands(context.Background(), "run_cmd", []string{"echo $WORD > " + mark, "echo out; false", "echo never > " + mark}, map[string]string{"WORD": "hello"}, log, nil)
	if err == nil || !strings.Contains(err.Error(), "run_cmd[1]") {
		t.Errorf("%v", err)
	}
	if got, _ := os.ReadFile(mark); string(got) != "hello\n" {
		t.Errorf("%q", got)
	}
}

// A line that fails is named by its place: the line itself may hold a password, and the error is
// for everybody.
func TestCommandsHideTheLine(t *testing.T) {
	var log bytes.Buffer
	line := "true -u me:hunter2zz https://me:hunter2zz@127.0.0.1/ --password hunter2zz; exit 7"
	err := Commands(context.Background(), "run_cmd", []string{line}, nil, &log, func(path string) string { return "config.yaml:3 " + path })
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "config.yaml:3 run_cmd[0]") || !strings.Contains(err.Error(), "7") {
		t.Errorf("%v", err)
	}
	if strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "exit 7") {
		t.Errorf("the log: %s", log.String())
	}
}

// A source that cannot be fetched is named without the secrets in its address.
func TestFetchHidesTheAddress(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := get(context.Background(), server.Client(), strings.Replace(server.URL, "://", "://me:hunter2zz@", 1)+"/keys?token=hunter2zz")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel() // no second try
	for _, bad := range []string{"https://me:hunter2zz@127.0.0.1:1/keys?a=hunter2zz", "HTTPS://me:hunter2zz@127.0.0.1:1/", "http://me:hunter2zz%zz@h/"} {
		if _, err := Fetch(gone, http.DefaultClient, []string{bad}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []string{"http://me:hunter2zz/x@h/", "http://me:hunter2zz@127.0.0.1:1/x?token=hunter2zz"} {
		if _, err := get(context.Background(), http.DefaultClient, bad); err == nil || strings.Contains(err.Error()+shown(bad), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
