package support

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/monitor"
)

// Node is the node that a bundle is made of.
type Node struct {
	Root    string                                                  // "/"; tests have another one
	Version string                                                  // of this program
	Text    func(io.Writer, status.Status)                          // the status for people
	Call    func(control.Request, any) error                        // asks PID 1
	Stream  func(context.Context, control.Request, io.Writer) error // the same, for texts
}

// OfNode is the running node.
func OfNode(version string, text func(io.Writer, status.Status)) *Node {
	return &Node{Root: "/", Version: version, Text: text,
		Call: func(r control.Request, data any) error { return control.Call(control.Socket, r, data) },
		Stream: func(ctx context.Context, r control.Request, w io.Writer) error {
			return control.Stream(ctx, control.Socket, r, w)
		}}
}

// Write puts the whole bundle of the node into a tar.gz, without secrets.
func (n *Node) Write(w io.Writer, name string, now time.Time) error {
	return Write(w, name, now, mask.New(n.Secrets()), n.members())
}

// WriteFile writes the bundle into a file that must not be there, for its owner alone; a uid of -1
// leaves it to the user of this process.
func (n *Node) WriteFile(path, name string, now time.Time, uid, gid int) error {
	f, err := atomicfile.Create(filepath.Dir(path), 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Input, "name another file with out=FILE", "the bundle cannot be written")
	}
	defer f.Close()
	if err := n.Write(f, name, now); err != nil {
		return fault.Wrap(err, fault.Device, "", "the bundle cannot be written")
	}
	if uid >= 0 {
		_ = f.Chown(uid, gid) // else it is root's
	}
	return fault.Wrap(f.CommitNew(path), fault.Input, "name another file with out=FILE", "the bundle cannot be written")
}

// procs are the files of /proc that are taken.
var procs = []string{"cmdline", "cpuinfo", "diskstats", "interrupts", "loadavg", "meminfo", "modules", "mounts", "net/dev", "net/if_inet6", "net/ipv6_route", "net/route", "net/tcp", "net/tcp6", "partitions", "pressure/cpu", "pressure/io", "pressure/memory", "swaps", "uptime", "version"}

// members is the content of the bundle.
func (n *Node) members() []Member {
	file := func(name, path string) Member {
		return Member{Name: name, Read: func() ([]byte, error) { return os.ReadFile(filepath.Join(n.Root, path)) }}
	}
	fromInit := func(name string, r control.Request) Member {
		return Member{Name: name, Read: func() ([]byte, error) {
			var b bytes.Buffer
			err := n.Stream(context.Background(), r, &b)
			return b.Bytes(), err
		}}
	}
	var st status.Status
	list := []Member{
		{Name: "status.json", Read: func() ([]byte, error) {
			if err := n.Call(control.Request{Verb: "status"}, &st); err != nil {
				return nil, err
			}
			return json.MarshalIndent(st, "", "\t")
		}},
		{Name: "status.txt", Read: func() ([]byte, error) {
			var b bytes.Buffer
			n.Text(&b, st)
			return b.Bytes(), nil
		}},
		{Name: "version.txt", Read: func() ([]byte, error) { return []byte("shelf " + n.Version + "\n"), nil }},
		{Name: "config.yaml", Read: func() ([]byte, error) {
			var b bytes.Buffer
			err := n.WriteConfig(&b, false, false, &b)
			return b.Bytes(), err
		}},
		fromInit("dmesg.txt", control.Request{Verb: "dmesg"}),
		file("report.txt", "/run/shelf/report.txt"),
		{Name: "processes.txt", Read: func() ([]byte, error) { return processes(filepath.Join(n.Root, "proc")), nil }},
		file("metrics.txt", monitor.File),
		file("manifest.json", "/k3os/system/manifest.json"),
		file("boot/config.txt", sources.Boot+"/config.txt"),
		file("boot/cmdline.txt", sources.Boot+"/cmdline.txt"),
		file("etc/resolv.conf", "/etc/resolv.conf"),
		file("containerd.log", "/var/lib/rancher/k3s/agent/containerd/containerd.log"),
	}
	for _, name := range procs {
		list = append(list, file("proc/"+name, "/proc/"+name))
	}
	var names []string
	if err := n.Call(control.Request{Verb: "lognames"}, &names); err != nil {
		list = append(list, Member{Name: "logs", Read: func() ([]byte, error) { return nil, err }})
	}
	for _, name := range names {
		list = append(list, fromInit("logs/"+name+".log", control.Request{Verb: "logs", Args: map[string]string{"name": name, "lines": "20000"}}))
	}
	return list
}
