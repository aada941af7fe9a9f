package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/yamltext"
	"imgbuild/init/settings/sources"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/monitor"
	"imgbuild/init/status/support"

	"gopkg.in/yaml.v3"
)

// supportVerb writes the data that a helper needs into a file, or to standard output for -.
func supportVerb(a *line.Args) (err error) {
	host, _ := os.Hostname()
	now := time.Now().UTC()
	name := fmt.Sprintf("shelf-support-%s-%s", host, now.Format("20060102-150405"))
	path := "/tmp/" + name + ".tar.gz"
	if out, given := a.Values["out"]; given {
		path = out
	}
	for _, w := range a.Operands {
		if w != "-" {
			return unknown("support", w)
		}
		path = w
	}
	if err := rootOnly(); err != nil {
		return err
	}
	scrubber := mask.New(secretsHere())
	if path == "-" {
		return support.Write(os.Stdout, name, now, scrubber, members())
	}
	f, err := atomicfile.Create(filepath.Dir(path), 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Input, "name another file with out=FILE", "the bundle cannot be written")
	}
	defer f.Close()
	if err := support.Write(f, name, now, scrubber, members()); err != nil {
		return fault.Wrap(err, fault.Device, "", "the bundle cannot be written")
	}
	// A user who ran sudo fetches it without sudo.
	if uid, uerr := strconv.Atoi(os.Getenv("SUDO_UID")); uerr == nil {
		gid, _ := strconv.Atoi(os.Getenv("SUDO_GID"))
		_ = f.Chown(uid, gid)
	}
	if err := f.CommitNew(path); err != nil {
		return fault.Wrap(err, fault.Input, "name another file with out=FILE", "the bundle cannot be written")
	}
	if a.JSON() {
		return printJSON(map[string]string{"file": path})
	}
	show(path)
	return nil
}

// rootOnly is the error for files with secrets.
func rootOnly() error {
	if _, err := os.ReadDir(sources.Store); err != nil {
		return fault.Wrap(err, fault.Usage, "use sudo", "the configuration holds secrets and is for root alone")
	}
	return nil
}

// secretsHere gathers every secret of this node that could be in a log.
func secretsHere() []string {
	var list []string
	for _, dir := range []string{sources.Store, sources.Store + "/config.d", sources.Local, sources.Local + "/config.d", sources.Boot, sources.Boot + "/config.d"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && small(path) {
				data, _ := os.ReadFile(path)
				list = append(list, support.Values(e.Name(), data)...)
			}
		}
	}
	c, _ := mergedHere() // of a stick, a URL and whatever else there is
	list = append(list, support.InConfig(c)...)
	for _, pattern := range []string{"/var/lib/rancher/k3s/server/*token", "/var/lib/rancher/k3s/server/cred/*passwd", "/etc/rancher/node/password", "/var/lib/rancher/k3os/node/password"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			data, _ := os.ReadFile(path)
			for word := range strings.FieldsFuncSeq(string(data), func(r rune) bool { return r == '\n' || r == ',' || r == ' ' || r == ':' }) {
				if len(word) >= 8 { // names such as k3s-agent and node: are not secrets
					list = append(list, word)
				}
			}
			list = append(list, strings.TrimSpace(string(data)))
		}
	}
	return list
}

// small reports whether a file may be a configuration: BOOT holds kernels as well.
func small(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Size() <= 1<<20 && !strings.HasSuffix(path, ".bin") && !strings.HasSuffix(path, ".dtb") && !strings.HasSuffix(path, ".elf") && !strings.HasSuffix(path, ".dat")
}

// members is the content of the bundle.
func members() []support.Member {
	file := func(name, path string) support.Member {
		return support.Member{Name: name, Read: func() ([]byte, error) { return os.ReadFile(path) }}
	}
	fromInit := func(r control.Request) func() ([]byte, error) {
		return func() ([]byte, error) {
			var b bytes.Buffer
			err := control.Stream(context.Background(), control.Socket, r, &b)
			return b.Bytes(), err
		}
	}
	var st status.Status
	list := []support.Member{
		{Name: "status.json", Read: func() (out []byte, err error) {
			if st, err = askStatus(); err != nil {
				return nil, err
			}
			return json.MarshalIndent(st, "", "\t")
		}},
		{Name: "status.txt", Read: func() ([]byte, error) {
			var b bytes.Buffer
			writeStatus(&b, st)
			return b.Bytes(), nil
		}},
		{Name: "version.txt", Read: func() ([]byte, error) { return []byte("shelf " + version + "\n"), nil }},
		{Name: "config.yaml", Read: func() ([]byte, error) {
			var b bytes.Buffer
			err := writeConfig(&b, false, false, &b)
			return b.Bytes(), err
		}},
		{Name: "dmesg.txt", Read: fromInit(control.Request{Verb: "dmesg"})},
		file("report.txt", "/run/shelf/report.txt"),
		{Name: "processes.txt", Read: func() ([]byte, error) { return processes("/proc"), nil }},
		file("metrics.txt", monitor.File),
		file("manifest.json", "/k3os/system/manifest.json"),
		file("boot/config.txt", sources.Boot+"/config.txt"),
		file("boot/cmdline.txt", sources.Boot+"/cmdline.txt"),
		file("etc/resolv.conf", "/etc/resolv.conf"),
		file("containerd.log", "/var/lib/rancher/k3s/agent/containerd/containerd.log"),
	}
	for _, name := range []string{"cmdline", "cpuinfo", "diskstats", "interrupts", "loadavg", "meminfo", "modules", "mounts", "net/dev", "net/if_inet6", "net/ipv6_route", "net/route", "net/tcp", "net/tcp6", "partitions", "pressure/cpu", "pressure/io", "pressure/memory", "swaps", "uptime", "version"} {
		list = append(list, file("proc/"+name, "/proc/"+name))
	}
	var names []string
	if err := control.Call(control.Socket, control.Request{Verb: "lognames"}, &names); err != nil {
		list = append(list, support.Member{Name: "logs", Read: func() ([]byte, error) { return nil, err }})
	}
	for _, n := range names {
		list = append(list, support.Member{Name: "logs/" + n + ".log", Read: fromInit(control.Request{Verb: "logs", Args: map[string]string{"name": n, "lines": "20000"}})})
	}
	return list
}

// writeConfig writes the merged configuration as YAML or JSON to w, secrets masked unless open, and
// what is wrong with it to problems.
func writeConfig(w io.Writer, open, asJSON bool, problems io.Writer) error {
	c, found := mergedHere()
	for _, p := range found {
		if asJSON {
			fmt.Fprintln(problems, p)
		} else {
			fmt.Fprintln(problems, "#", p)
		}
	}
	var n *yaml.Node
	var err error
	if open {
		n, err = yamltext.Node(c)
	} else {
		n, err = support.Masked(c)
	}
	if err != nil {
		return err
	}
	support.OfRole(n, c.Shelf.Role)
	var out []byte
	if asJSON {
		var v any
		if err := n.Decode(&v); err != nil {
			return err
		}
		if out, err = json.MarshalIndent(v, "", "\t"); err == nil {
			out = append(out, '\n')
		}
	} else {
		out, err = yamltext.Marshal(n)
	}
	if err != nil {
		return err
	}
	if !open { // a secret may be in a command as well
		out = mask.New(secretsHere()).Known(out)
	}
	_, err = w.Write(out)
	return err
}
