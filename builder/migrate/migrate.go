package migrate

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/terminal"
)

// Modes.
const (
	Fresh = "fresh" // identity and configuration: the node joins, or begins, a cluster again
	Full  = "full"  // k3s' data and the files of people too
)

// Options are the source and what is taken from it.
type Options struct {
	Source string // device or image
	Out    string // the archive; compressed if it ends in .zst
	Mode   string
	MAC    string // of the node, where the card has configurations of several
	Config string // the same, by name of the file
	From   string // the k3s version on the card; empty: found there
	K3s    string // the k3s version of the image it is for
	Now    time.Time
	Say    func(string) // is called with the place that is being read, for it may take minutes; may be nil
}

// Report lists what was taken, what was left and why, and what is to be done.
type Report struct {
	Out       string   `json:"out"`
	From      string   `json:"from"`
	Mode      string   `json:"mode"`
	Hostname  string   `json:"hostname"`
	Role      string   `json:"role"`
	K3s       string   `json:"k3s,omitempty"`
	Contents  []string `json:"contents"`
	Files     int      `json:"files"`
	Bytes     int64    `json:"bytes"`
	Taken     []Item   `json:"taken"`
	Left      []Item   `json:"left"`
	Warnings  []string `json:"warnings"`
	NextSteps []Step   `json:"next"`
}

// Item is a place on the card. Files and Bytes count what was taken of it.
type Item struct {
	Path  string `json:"path"`
	Why   string `json:"why"` // what it is, or why it was left
	Files int    `json:"files,omitempty"`
	Bytes int64  `json:"bytes,omitempty"`
}

// Step is something to do by hand.
type Step struct {
	Why     string `json:"why"`
	Command string `json:"command"`
}

// Run takes a node off a card. On an error nothing is left under the name of the archive.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Mode != Fresh && o.Mode != Full {
		return nil, fault.New(fault.Usage, "use mode=fresh for identity and configuration, or mode=full for k3s' data too", "no mode %q", o.Mode)
	}
	s, err := openSource(o.Source, filepath.Dir(o.Out))
	if err != nil {
		return nil, err
	}
	defer s.close()
	c, err := find(s)
	if err != nil {
		return nil, err
	}
	n, err := c.learn(o)
	if err != nil {
		return nil, unreadableUnless(err)
	}
	r := &Report{Out: o.Out, From: fmt.Sprintf("%s card, %s", c.kind, c.where), Mode: o.Mode, Hostname: n.hostname, Role: n.role, K3s: n.k3s, Left: []Item{}}
	r.Warnings = append([]string{}, n.notes...)
	if o.Mode == Full && n.server {
		if n.k3s == "" {
			return nil, fault.New(fault.Input, "give it as from=v1.22.2+k3s1, or use mode=fresh", "the version of k3s on the card is not known, and the data of a server depend on it")
		}
		if _, err := (k3sstep.Change{From: n.k3s, To: o.K3s, Data: true}).Judge(); err != nil {
			return nil, fault.Wrap(err, fault.Input, "or build an image for each step with k3s=FILE and name its version here as k3s=VERSION, or begin a new cluster: mode=fresh", "")
		}
	}
	t := &taker{ctx: ctx, card: c, node: n, report: r, names: map[uint32]string{}, dirs: map[uint32]bool{}}
	plan, err := t.plan(o.Mode)
	if err != nil {
		return nil, unreadableUnless(err)
	}
	h := archive.Header{Kind: archive.Migrate, Created: o.Now, Hostname: n.hostname, Role: n.role, From: r.From, Contents: r.Contents}
	if o.Mode == Full {
		h.K3s = n.k3s
	}
	err = archive.Create(o.Out, h, func(w *archive.Writer) error {
		t.w = w
		for _, p := range plan {
			if o.Say != nil && !p.made() {
				o.Say(p.from)
			}
			if err := t.take(p); err != nil {
				return unreadableUnless(err)
			}
		}
		count, size := w.Members()
		r.Files, r.Bytes = count, size
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.advise(o)
	return r, giveBack(o.Out)
}

// unreadableUnless is unreadable for errors that have no kind yet.
func unreadableUnless(err error) error {
	if code := fault.Code(err); err == nil || code != int(fault.Internal) {
		return err
	}
	return unreadable(err)
}

// part is a file or directory that is taken.
type part struct {
	from, to string // below the partition's root
	why      string
	data     []byte                    // made here: there is no from
	mode     uint16                    // of data
	skip     func(below string) string // why something below from is left; empty: it is taken
}

// plan decides what is taken and what is left, in the order in which it goes into the archive.
func (t *taker) plan(mode string) (plan []part, err error) {
	contents := []string{}
	have := func(p part) (bool, error) {
		i, err := t.Lookup(p.from)
		if err != nil || i == nil {
			return false, err
		}
		plan = append(plan, p)
		return true, nil
	}
	for _, p := range []part{
		{from: k3osDir + "/hostname", to: k3osDir + "/hostname", why: "the node's name"},
		{from: k3osDir + "/node", to: k3osDir + "/node", why: "node password and id"},
		{from: k3osDir + "/ssh", to: k3osDir + "/ssh", why: "ssh host keys", skip: notAHostKey},
	} {
		if _, err := have(p); err != nil {
			return nil, err
		}
	}
	id, err := t.machineID()
	if err != nil {
		return nil, err
	}
	if id != nil {
		plan = append(plan, part{to: newMachineID, data: id, mode: 0o444, why: "machine id, from " + machineID})
	}
	if len(plan) > 0 {
		contents = append(contents, archive.Identity)
	}
	identity := len(plan)
	if t.system != nil {
		plan = append(plan, part{to: newSystem, data: t.system, mode: 0o600, why: "the node's cloud-config, " + t.from})
	}
	if t.network != nil {
		plan = append(plan, part{to: newNetwork, data: t.network, mode: 0o600, why: "static addresses and wireless networks, from connman"})
	}
	for _, name := range []string{"/config.yaml", "/config.d"} {
		if _, err := have(part{from: k3osDir + name, to: k3osDir + name, why: "cloud-config"}); err != nil {
			return nil, err
		}
	}
	if len(plan) > identity {
		contents = append(contents, archive.Config)
	}
	if mode == Full {
		more, err := t.planFull(have)
		if err != nil {
			return nil, err
		}
		contents = append(contents, more...)
	} else {
		t.leave(k3sDir, "mode=fresh")
	}
	if len(plan) == 0 {
		return nil, fault.New(fault.Input, "boot it once; a card that never ran has no identity", "the card has neither identity nor configuration of a node")
	}
	t.report.Contents = contents
	return plan, nil
}

func notAHostKey(below string) string {
	switch below {
	case "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_ecdsa_key", "ssh_host_ecdsa_key.pub", "ssh_host_rsa_key", "ssh_host_rsa_key.pub":
		return ""
	case "ssh_host_dsa_key", "ssh_host_dsa_key.pub":
		return "no ssh takes DSA any more"
	case "sshd_config":
		return "it stays as it was at the first boot of k3OS for ever; the new system brings its own"
	}
	return "not a host key"
}

// advise adds what the user has to know and do.
func (t *taker) advise(o Options) {
	r, n := t.report, t.node
	warn := func(text string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(text, args...)) }
	step := func(why, command string) { r.NextSteps = append(r.NextSteps, Step{why, command}) }
	if t.kind == Picl {
		r.Left = append(r.Left, Item{Path: "partition 1: config.txt, cmdline.txt", Why: "the image brings its own; carry over by hand what you changed there"})
	}
	if t.also != "" {
		warn("there are several systems on it, %s; %s was taken for its label", t.also, t.where)
	}
	if t.Replayed > 0 {
		warn("the card was not shut down: %d transactions were taken from its journal, as the next boot would have done", t.Replayed)
	}
	if t.Errors {
		warn("the old system had noted errors in its file system; look at what you get")
	}
	if n.hostname == "" {
		warn("the card has no name for the node: set hostname: or the node gets a new one, and k3s sees a new node")
	}
	if t.xattrs > 0 {
		warn("%d files have extended attributes (capabilities, ACLs), which are left", t.xattrs)
	}
	if len(t.musl) > 0 {
		shown := t.musl[:min(len(t.musl), 10)]
		warn("%d programs are linked against musl, as k3OS had it, and will not run here: %s", len(t.musl), strings.Join(shown, ", "))
	}
	if n.role == "server" && o.Mode == Fresh {
		warn("a new cluster makes a new sealed-secrets key, and your SealedSecrets can then not be opened; export the old key while the old node still runs")
		step("if you use sealed-secrets: on the old node; keep the file in a safe place",
			"sudo kubectl get secret -A -l sealedsecrets.bitnami.com/sealed-secrets-key -o yaml > sealed-secrets-key.yaml")
	}
	if n.role == "server" && o.Mode == Full && !n.server {
		warn("the card has no datastore of k3s in /var/lib/rancher/k3s/server/db, so the new node begins an empty cluster: do not boot it before you know where yours is (another disk, k3s' data-dir, or a database that datastore-endpoint names)")
	}
	step("build the card", fmt.Sprintf("imgbuild board=BOARD role=%s import=%s", n.role, terminal.Quote(path.Clean(o.Out))))
	if n.role == "server" && o.Mode == Fresh {
		step("and for the new cluster, before the controller is installed", "kubectl apply -f sealed-secrets-key.yaml")
	}
	if n.server && o.Mode == Full {
		step("once it runs, remove k3OS's own upgrade controller, which is in the datastore still", "kubectl delete namespace k3os-system")
		step("and the labels that k3OS gave its nodes", fmt.Sprintf("kubectl label node %s k3os.io/mode- k3os.io/version- k3os.io/upgrade- plan.upgrade.cattle.io/k3os-latest-", terminal.Quote(cmp.Or(n.hostname, "--all"))))
	}
	warn("the archive holds the node's secrets; keep it as such, and keep the old card until the new one has proven itself")
}

// leave notes what is not taken, if it is there.
func (t *taker) leave(name, why string) {
	if i, err := t.Lookup(name); err == nil && i != nil {
		t.report.Left = append(t.report.Left, Item{Path: name, Why: why})
	}
}

// made reports whether a member is made here.
func (p part) made() bool { return p.data != nil }

func (t *taker) take(p part) error {
	if p.made() {
		err := t.w.File(p.to, archive.Meta{Mode: p.mode, Time: t.Written}, int64(len(p.data)), bytes.NewReader(p.data))
		t.report.Taken = append(t.report.Taken, Item{p.to, p.why, 1, int64(len(p.data))})
		return err
	}
	i, err := t.Lookup(p.from)
	if err != nil {
		return err
	}
	item := Item{Path: p.from, Why: p.why}
	if err := t.tree(p, "", i, &item); err != nil {
		return err
	}
	t.report.Taken = append(t.report.Taken, item)
	return nil
}
