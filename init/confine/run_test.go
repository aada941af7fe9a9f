package confine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The test's program is the part inside too, and the program that is confined.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case InsideVerb:
			fmt.Fprintln(os.Stderr, Inside())
			os.Exit(99)
		case "confined":
			confined(os.Args[2], os.Args[3], os.Args[4])
		}
	}
	if os.Getuid() != 0 && os.Getenv(wrapped) == "" {
		os.Exit(wrap())
	}
	if os.Getenv(wrapped) != "" {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// wrapped is set where wrap has started the test.
const wrapped = "CONFINE_TEST_WRAPPED"

// wrap runs the test again in a user namespace and a network of its own, where it has the rights
// over namespaces that the init program has on a node, and still no other user's.
func wrap() int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Env = append(os.Environ(), wrapped+"=yes")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 61500, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 61501, HostID: os.Getgid(), Size: 1}},
		Credential:  &syscall.Credential{Uid: 61500, Gid: 61501, NoSetGroups: true},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SYS_PTRACE},
	}
	if err := c.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "a user namespace for the test: %v\n", err)
		return 1
	}
	return 0
}

// facts are what the program finds inside.
type facts struct {
	UID        int
	Map        string            // uid_map
	Status     map[string]string // of /proc/self/status
	Env        []string
	Interfaces []string
	Processes  int
	Root       []string // names in /
	Etc        []string
	Errors     map[string]string // what was tried: how it ended
}

// confined looks around, reports on a pipe in the directory that it may write, and then echoes
// connections on a port of the loopback.
func confined(read, write, port string) {
	f := facts{UID: os.Getuid(), Status: map[string]string{}, Errors: map[string]string{}, Env: os.Environ()}
	text := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	f.Map = text("/proc/self/uid_map")
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		f.Status[name] = strings.TrimSpace(value)
	}
	list, _ := net.Interfaces()
	for _, i := range list {
		f.Interfaces = append(f.Interfaces, i.Name)
	}
	names := func(dir string) (out []string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	f.Root, f.Etc = names("/"), names("/etc")
	for _, n := range names("/proc") {
		if n[0] >= '0' && n[0] <= '9' {
			f.Processes++
		}
	}
	try := func(what string, do func() error) {
		f.Errors[what] = "done"
		if err := do(); err != nil {
			f.Errors[what] = err.Error()
		}
	}
	create := func(path string) func() error { return func() error { return os.WriteFile(path, []byte("x"), 0o644) } }
	try("read declared", func() error { _, err := os.ReadFile(filepath.Join(read, "file")); return err })
	try("write what may be read", create(filepath.Join(read, "new")))
	try("write declared", create(filepath.Join(write, "new")))
	try("write /", create("/new"))
	try("write /usr", create("/usr/new"))
	try("write /etc", create("/etc/new"))
	try("write /dev", create("/dev/new"))
	try("write /tmp", create("/tmp/new"))
	try("read a file that was not declared", func() error {
		_, err := os.ReadFile(filepath.Join(filepath.Dir(read), "secret"))
		return err
	})
	try("read it through the first process", func() error {
		_, err := os.ReadFile("/proc/1/root" + filepath.Join(filepath.Dir(read), "secret"))
		return err
	})
	try("mount", func() error { return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") })
	try("unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) })
	try("chroot", func() error { return unix.Chroot("/tmp") })
	try("keyctl", func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err })
	try("hostname", func() error { return unix.Sethostname([]byte("x")) })
	for name, family := range map[string]int{"vsock": unix.AF_VSOCK, "packet": unix.AF_PACKET, "alg": unix.AF_ALG} {
		try(name, func() error { _, err := unix.Socket(family, unix.SOCK_DGRAM, 0); return err })
	}
	try("raw", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, 1); return err })
	try("connect", func() error { _, err := net.Dial("udp", "192.0.2.99:9"); return err })
	try("connect by IPv6", func() error { _, err := net.Dial("udp", "[2001:db8::1]:9"); return err })
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		f.Errors["listen"] = err.Error()
	}
	data, _ := json.Marshal(f)
	fmt.Println(string(data))
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			go func() { io.Copy(c, c); c.Close() }()
		}
	}
	os.Exit(5)
}

// ids are those of a user without rights: another one, if the test is root's.
func ids(string) (int, int, error) {
	if os.Getuid() != 0 {
		return os.Getuid(), os.Getgid(), nil
	}
	return 61500, 61501, nil
}

// stage makes the directories read and write and a secret next to them, and copies this program
// where the other user can start it.
func stage(t *testing.T) (dir, program string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "confine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, gid, _ := ids("")
	for _, d := range []string{"", "read", "write", "bin", "roots"} {
		p := filepath.Join(dir, d)
		if err := os.MkdirAll(p, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "write"), uid, gid); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"secret", "read/file"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program = filepath.Join(dir, "bin/program")
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, program
}

// TestConfined runs a real program in namespaces of its own, which looks for ways out.
func TestConfined(t *testing.T) {
	dir, program := stage(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	read, write := filepath.Join(dir, "read"), filepath.Join(dir, "write")
	t.Setenv("WEATHER", "rain")
	t.Setenv("NOTIFY_SOCKET", "/run/shelf/notify/x")
	r := Runner{
		Spec: Spec{Name: "looker", Command: []string{program, "confined", read, write, port}, User: "ann", Read: []string{read, filepath.Dir(program)}, Write: []string{write},
			Publish: map[string]string{port: "192.0.2.0/24"}},
		Self: []string{program, InsideVerb}, Dir: filepath.Join(dir, "roots"), IDs: ids, Say: t.Logf,
	}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Output = in
	stop, over := make(chan os.Signal, 1), make(chan error, 1)
	go func() {
		state, err := r.Run(stop)
		in.Close()
		if err == nil {
			err = fmt.Errorf("%v", state)
		}
		over <- err
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%v: %v", err, <-over)
	}
	var f facts
	if err := json.Unmarshal(line, &f); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	uid, gid, _ := ids("")
	if want := fmt.Sprintf("0 %d 1", uid); f.UID != 0 || f.Map != want {
		t.Errorf("uid %d with the map %q, want 0 with %q", f.UID, f.Map, want)
	}
	for name, want := range map[string]string{
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000000", "CapInh": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := f.Status[name]; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if os.Getuid() == 0 && f.Status["Groups"] != "" {
		t.Errorf("it has the groups %s of root, want none", f.Status["Groups"])
	}
	if !slices.Equal(f.Interfaces, []string{"lo"}) || f.Processes != 1 {
		t.Errorf("got the interfaces %q and %d processes, want lo and 1", f.Interfaces, f.Processes)
	}
	if slices.Contains(f.Root, "root") || slices.Contains(f.Root, "home") || slices.Contains(f.Root, "sys") || slices.Contains(f.Etc, "shadow") {
		t.Errorf("got %q in / and %q in /etc, want only what a program needs", f.Root, f.Etc)
	}
	if !slices.Contains(f.Env, "WEATHER=rain") || !slices.Contains(f.Env, "HOME="+write) || slices.Contains(f.Env, "NOTIFY_SOCKET=/run/shelf/notify/x") {
		t.Errorf("got the environment %q", f.Env)
	}
	for what, want := range map[string]string{
		"read declared": "done", "write declared": "done", "write /tmp": "done",
		"write what may be read": "read-only", "write /": "read-only", "write /usr": "read-only", "write /dev": "read-only", "write /etc": "read-only",
		"read a file that was not declared": "no such file", "read it through the first process": "no such file",
		"mount": "not permitted", "unshare": "not permitted", "chroot": "not permitted", "keyctl": "not permitted", "hostname": "not permitted",
		"vsock": "not supported", "packet": "not supported", "alg": "not supported", "raw": "not permitted",
		"connect": "unreachable", "connect by IPv6": "unreachable",
	} {
		if got, tried := f.Errors[what]; !tried || !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(write, "new"), &st); err != nil || int(st.Uid) != uid || int(st.Gid) != gid {
		t.Errorf("what it wrote belongs to %d:%d, %v, want %d:%d", st.Uid, st.Gid, err, uid, gid)
	}
	// Through the published port, from the node itself.
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); got != "ping\n" {
		t.Errorf("got %q, %v through the published port, want ping", got, err)
	}
	stop <- unix.SIGTERM                                                                                                    // which the program does not handle
	if err := <-over; !strings.Contains(err.Error(), "signal: killed") && !strings.Contains(err.Error(), "exit status 2") { // what Go's runtime does with it
		t.Errorf("it ended with %v, want the signal", err)
	}
	if _, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		t.Error("the port is open after the end")
	}
}

// Programs that cannot be run end with a reason, and nothing is left behind.
func TestRefused(t *testing.T) {
	dir, program := stage(t)
	for name, c := range map[string]struct {
		change func(*Runner)
		want   string
	}{
		"no such program":        {func(r *Runner) { r.Command = []string{"no-such-program"} }, "no-such-program"},
		"root":                   {func(r *Runner) { r.User = "root" }, "root"},
		"root by another name":   {func(r *Runner) { r.IDs = func(string) (int, int, error) { return 0, 5, nil } }, "root"},
		"an unknown user":        {func(r *Runner) { r.IDs = nil; r.User = "nobody-knows-me" }, "nobody-knows-me"},
		"all of the disk":        {func(r *Runner) { r.Write = []string{"/"} }, "cannot be declared"},
		"no WireGuard file":      {func(r *Runner) { r.WireGuard = dir + "/none.conf" }, "none.conf"},
		"a file with a command":  {func(r *Runner) { r.WireGuard = dir + "/bad.conf" }, "PostUp"},
		"a port that is none":    {func(r *Runner) { r.Publish = map[string]string{"x": "10.0.0.0/8"} }, "not a port and"},
		"a network that is none": {func(r *Runner) { r.Publish = map[string]string{"80": "home"} }, "not a port and"},
	} {
		if err := os.WriteFile(dir+"/bad.conf", []byte("[Interface]\nPostUp = reboot\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := Runner{Spec: Spec{Name: "x", Command: []string{program}, User: "ann"}, Self: []string{program, InsideVerb}, Dir: filepath.Join(dir, "roots"), IDs: ids, Say: t.Logf}
		c.change(&r)
		if _, err := r.Run(nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	// A declared path that is not there is found out inside, and ends the program.
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := Runner{Spec: Spec{Name: "x", Command: []string{program}, User: "ann", Read: []string{dir + "/none"}}, Self: []string{program, InsideVerb}, Dir: filepath.Join(dir, "roots"), IDs: ids, Output: in}
	state, err := r.Run(nil)
	in.Close()
	text, _ := io.ReadAll(out)
	if err != nil || state.ExitCode() != 99 || !strings.Contains(string(text), dir+"/none") {
		t.Errorf("got %v, %v, %s, want the path that is missing", state, err, text)
	}
}

func TestCaught(t *testing.T) {
	const status = "Name:\tx\nSigCgt:\t0000000000004002\nSeccomp:\t0\n"
	for s, want := range map[unix.Signal]bool{unix.SIGTERM: true, unix.SIGINT: true, unix.SIGHUP: false} {
		if got := caught(status, s); got != want {
			t.Errorf("%v: got %v, want %v", s, got, want)
		}
	}
	if caught("Name:\tx\n", unix.SIGTERM) {
		t.Error("got a handler out of nothing")
	}
}
