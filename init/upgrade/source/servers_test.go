package source

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/tool"
)

// answers are the statuses that each gives to a range, and to one that begins after the end.
var answers = map[string][2]int{
	"nginx": {http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable}, "lighttpd": {http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable},
	"busybox": {http.StatusPartialContent, http.StatusOK}, "python3": {http.StatusOK, http.StatusOK},
}

// listening notes the status of each answer.
type listening struct{ statuses []int }

func (l *listening) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		l.statuses = append(l.statuses, resp.StatusCode)
	}
	return resp, err
}

// noted returns an HTTP source whose server's answers are noted.
func noted(t *testing.T, address string) (*HTTP, *listening) {
	l, o := &listening{}, quick()
	o.Client = &http.Client{Transport: l}
	return open(t, address, o), l
}

// servers start web servers that people have, on the files in dir. They run until the test ends.
var servers = map[string]func(t *testing.T, dir string, port int) *exec.Cmd{
	"nginx": func(t *testing.T, dir string, port int) *exec.Cmd {
		conf := filepath.Join(t.TempDir(), "nginx.conf")
		here := filepath.Dir(conf)
		text := fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log stderr; master_process off;
events {}
http {
	access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server { listen 127.0.0.1:%[2]d; root %[3]s; }
}
`, here, port, dir)
		write(t, conf, []byte(text))
		return exec.CommandContext(t.Context(), tool.Path(t, "nginx"), "-e", "stderr", "-p", here, "-c", conf)
	},
	"lighttpd": func(t *testing.T, dir string, port int) *exec.Cmd {
		conf := filepath.Join(t.TempDir(), "lighttpd.conf")
		write(t, conf, fmt.Appendf(nil, "server.document-root = %q\nserver.port = %d\nserver.bind = \"127.0.0.1\"\n", dir, port))
		return exec.CommandContext(t.Context(), tool.Path(t, "lighttpd"), "-D", "-f", conf)
	},
	"busybox": func(t *testing.T, dir string, port int) *exec.Cmd {
		return exec.CommandContext(t.Context(), tool.Path(t, "busybox"), "httpd", "-f", "-p", "127.0.0.1:"+strconv.Itoa(port), "-h", dir)
	},
	"python3": func(t *testing.T, dir string, port int) *exec.Cmd {
		return exec.CommandContext(t.Context(), tool.Path(t, "python3"), "-m", "http.server", "-b", "127.0.0.1", "-d", dir, strconv.Itoa(port))
	},
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestServers reads a bundle's way, forward with a step back at the end, from the servers that
// people have, and replaces the file in between.
func TestServers(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data, other := content(11, 3<<20), content(12, 3<<20-77)
			file := filepath.Join(dir, "a+b.upgrade")
			write(t, file, data)
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(file, old, old); err != nil {
				t.Fatal(err)
			}
			address := serving(t, func(port int) *exec.Cmd { return start(t, dir, port) })
			h, said := noted(t, address+"/a+b.upgrade")
			for _, r := range []struct{ off, n int64 }{{0, 512}, {512, 3000}, {3512, 100_000}, {1 << 20, 1 << 20}, {2 << 20, 1 << 20}, {3<<20 - 1, 1}, {4000, 50_000}} {
				got, err := bundle.Read(t.Context(), h, r.off, r.n)
				if err != nil || !bytes.Equal(got, data[r.off:r.off+r.n]) {
					t.Errorf("%d bytes at %d: got %d bytes, %v", r.n, r.off, len(got), err)
				}
			}
			for _, status := range said.statuses {
				if want := answers[name][0]; status != want {
					t.Errorf("ranges were answered with %v, want %d", said.statuses, want)
					break
				}
			}
			behind, said := noted(t, address+"/a+b.upgrade")
			if _, err := bundle.Read(t.Context(), behind, 4<<20, 10); fault.Code(err) != int(fault.Verify) {
				t.Errorf("after the end: %v, want code %v", err, int(fault.Verify))
			}
			if want := []int{answers[name][1]}; !slices.Equal(said.statuses, want) {
				t.Errorf("a range after the end was answered with %v, want %v", said.statuses, want)
			}
			if _, err := bundle.Read(t.Context(), open(t, address+"/none", quick()), 0, 10); fault.Code(err) != int(fault.Network) {
				t.Errorf("no such file: %v, want code %v", err, int(fault.Network))
			}
			write(t, file+".new", other)
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
			got, err := bundle.Read(t.Context(), h, 100, 10)
			for end := time.Now().Add(time.Minute); err == nil && bytes.Equal(got, data[100:110]) && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond) // lighttpd keeps the old file open for seconds
				got, err = bundle.Read(t.Context(), h, 100, 10)
			}
			wantKind(t, "replaced", err, fault.Network)
		})
	}
}

// serving starts a server on a free port and waits until it answers; another program may take the
// port in between, so several are tried.
func serving(t *testing.T, start func(port int) *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		out.Reset()
		cmd := start(port)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // it is killed in the end
		t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
		address := "http://127.0.0.1:" + strconv.Itoa(port)
		for tries := 0; tries < 600; tries++ {
			if resp, err := http.Get(address + "/"); err == nil {
				resp.Body.Close()
				return address
			}
			select {
			case <-ended:
				tries = 600
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	t.Fatalf("the server never answered:\n%s", out.Bytes())
	return ""
}
