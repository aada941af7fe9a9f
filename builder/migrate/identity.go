package migrate

import (
	"bytes"
	"cmp"
	"io"
	"path"
	"regexp"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// Where things are on the partition of an old card. The first is its running system's root.
const (
	root      = "k3os/data"
	system    = "k3os/system"
	k3osDir   = root + "/var/lib/rancher/k3os"
	k3sDir    = root + "/var/lib/rancher/k3s"
	connman   = root + "/var/lib/connman"
	machineID = root + "/var/lib/dbus/machine-id"
)

// Where they go, where the places differ.
const (
	newSystem    = "k3os/config/system.yaml"
	newNetwork   = "k3os/config/config.d/10-connman.yaml"
	newMachineID = root + "/var/lib/shelf/machine-id"
)

// node is what was found out about the node before anything is taken.
type node struct {
	hostname string
	role     string
	k3s      string // version; empty when it is not known
	system   []byte // its cloud-config; nil for none
	from     string // where that was
	network  []byte // what connman had, as cloud-config; nil for none
	server   bool   // it has a server's datastore
	config   *config.Config
	layers   []*config.Layer
	notes    []string
}

// small reads a file that is small by its nature; for one that does not exist it returns nil.
func (c *card) small(name string) ([]byte, error) {
	_, i, err := c.Follow(name)
	if err != nil || i == nil || i.Kind != ext4.File {
		return nil, err
	}
	if i.Size > config.MaxSize {
		return nil, fault.New(fault.Input, "", "%s on the card has %d bytes, which is too much for what it is", name, i.Size)
	}
	return io.ReadAll(c.Content(i))
}

// list returns the names in a directory; one that does not exist has none.
func (c *card) list(name string) ([]string, error) {
	i, err := c.Lookup(name)
	if err != nil || i == nil || i.Kind != ext4.Dir {
		return nil, err
	}
	entries, err := c.ReadDir(i)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names, err
}

// learn determines the node's identity.
func (c *card) learn(o Options) (*node, error) {
	n := &node{k3s: o.From}
	var err error
	if n.system, n.from, err = c.systemConfig(o); err != nil {
		return nil, err
	}
	parse := func(name string, data []byte) {
		l, problems := config.Parse(name, data)
		n.layers = append(n.layers, l)
		for _, p := range problems {
			if p.Severity == config.Error {
				n.notes = append(n.notes, p.String())
			}
		}
	}
	if n.system != nil {
		parse(n.from, n.system)
	}
	names, err := c.list(k3osDir + "/config.d")
	if err != nil {
		return nil, err
	}
	for i := range names {
		names[i] = "config.d/" + names[i]
	}
	for _, name := range append([]string{"config.yaml"}, names...) {
		data, err := c.small(k3osDir + "/" + name)
		if err != nil {
			return nil, err
		}
		if data != nil {
			parse(name, data)
		}
	}
	n.config, _ = config.Merge(n.layers...)
	kept, err := c.small(k3osDir + "/hostname")
	if err != nil {
		return nil, err
	}
	n.hostname = cmp.Or(n.config.Hostname, clean(string(kept)))
	n.role = "server"
	args := n.config.K3OS.K3sArgs
	if len(args) > 0 && strings.HasPrefix(args[0], "agent") || (len(args) == 0 || !strings.HasPrefix(args[0], "server")) && n.config.K3OS.ServerURL != "" {
		n.role = "worker"
	}
	db, err := c.Lookup(k3sDir + "/server/db")
	if err != nil {
		return nil, err
	}
	n.server = db != nil && n.role == "server"
	if n.k3s == "" {
		if n.k3s, err = c.k3sVersion(); err != nil {
			return nil, err
		}
	}
	return n, c.connman(n)
}

// clean makes a text printable on one line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0xFFFD {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return s[:min(len(s), 253)]
}

// systemConfig returns this node's own configuration. A card of picl has those of all nodes, with
// their tokens: only the one to which its link points, or which the user names, leaves the card.
func (c *card) systemConfig(o Options) ([]byte, string, error) {
	names, err := c.list(system + "/config")
	if err != nil {
		return nil, "", err
	}
	read := func(name string) ([]byte, string, error) {
		data, err := c.small(name)
		if err == nil && data == nil {
			err = fault.New(fault.Input, "", "%s is not a file", name)
		}
		return data, path.Base(name), err
	}
	switch {
	case o.MAC != "" || o.Config != "":
		want := hexDigits(o.MAC)
		if o.MAC != "" && len(want) != 12 {
			return nil, "", fault.New(fault.Usage, "write it as dc:a6:32:01:02:03", "mac=%s is not an address", o.MAC)
		}
		for _, name := range names {
			if name == o.Config || want != "" && hexDigits(strings.TrimSuffix(name, path.Ext(name))) == want {
				return read(system + "/config/" + name)
			}
		}
		return nil, "", fault.New(fault.Input, "there are "+cmp.Or(strings.Join(names, ", "), "none"), "the card has no configuration for %s", cmp.Or(o.MAC, o.Config))
	}
	link, err := c.Lookup(system + "/config.yaml")
	if err != nil {
		return nil, "", err
	}
	if link != nil {
		// The link is absolute: to be followed from this partition's root on, not from ours.
		if at, i, err := c.Follow(system + "/config.yaml"); err != nil {
			return nil, "", err
		} else if i != nil && i.Kind == ext4.File {
			return read(at)
		}
	}
	switch len(names) {
	case 0:
		return nil, "", nil
	case 1:
		return read(system + "/config/" + names[0])
	}
	return nil, "", fault.New(fault.Usage, "name the node by the address of its network card, mac=dc:a6:32:01:02:03, or by its file, config=NAME; there are "+strings.Join(names, ", "),
		"the card has the configurations of %d nodes and nothing shows which one it was", len(names))
}

func hexDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("0123456789abcdef", r) {
			return r
		}
		if r == ':' || r == '-' || r == '.' {
			return -1
		}
		return 'x'
	}, strings.ToLower(s))
}

var inBinary = regexp.MustCompile(`v1\.\d{1,2}\.\d{1,2}(-rc\d)?\+k3s\d{1,2}`)

// k3sVersion finds the k3s that ran last: by the name of its directory, else by the version in its
// binary.
func (c *card) k3sVersion() (string, error) {
	const dir = system + "/k3s"
	at, i, err := c.Follow(dir + "/current")
	if err != nil {
		return "", err
	}
	if i == nil {
		names, err := c.list(dir)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			if _, ok := k3sstep.Parse(name); ok && name != "current" && name != "previous" {
				return k3sstep.Canonical(name), nil
			}
		}
		return "", nil
	}
	if _, ok := k3sstep.Parse(path.Base(at)); ok {
		return k3sstep.Canonical(path.Base(at)), nil
	}
	binary, err := c.Lookup(at + "/k3s")
	if err != nil || binary == nil || binary.Kind != ext4.File {
		return "", err
	}
	r := io.LimitReader(c.Content(binary), 128<<20)
	buf := make([]byte, 0, 1<<20)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if m := inBinary.Find(buf); m != nil {
			return string(m), nil
		}
		if err != nil {
			return "", nil
		}
		buf = buf[:copy(buf, buf[len(buf)-64:])]
	}
}

// connman turns what connman had into cloud-config.
func (c *card) connman(n *node) error {
	var net config.Connman
	read := func(name string) error {
		data, err := c.small(connman + "/" + name)
		if err == nil && data != nil {
			net.Add(name, string(data))
		}
		return err
	}
	names, err := c.list(connman)
	if err != nil {
		return err
	}
	for _, name := range names { // what people wrote counts before what connman kept
		if strings.HasSuffix(name, ".config") {
			if err := read(name); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if config.ConnmanService(name) {
			if err := read(name + "/settings"); err != nil {
				return err
			}
		}
	}
	without(&net, n.config.AllWiFi())
	n.notes = append(n.notes, net.Notes...)
	n.network, err = connmanYAML(&net)
	return err
}

// identity returns the dbus machine id, if it is one.
func (c *card) machineID() ([]byte, error) {
	data, err := c.small(machineID)
	if id := strings.TrimSpace(string(data)); err == nil && regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) && strings.Trim(id, "0") != "" {
		return bytes.Clone([]byte(id + "\n")), nil
	}
	return nil, err
}
