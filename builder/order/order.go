// Package order carries out what somebody asks for: an image of a board in a role, with a
// configuration. It goes through stages, each of them a type that only the one before gives: Asked
// (all is checked that needs no network), Locked (the packages are chosen and in the cache), Ready
// (it is decided where k3s comes from), and then the build.
package order

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/builder/sshkey"
	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// Reporter is how an order reports while it is carried out.
type Reporter interface {
	Progress(step string, done, total int64) // units are the step's own
	Warn(lines ...string)
}

// Plan is what every verb with a board and a role asks for.
type Plan struct {
	Board, Role string
	Packages    []string // more Debian packages
	Without     []string // suites that are left out of a new lock
	Mirror      string   // URL[,SECURITY-URL]; empty: IMGBUILD_MIRROR, else the host's apt sources
	Cache       string   // directory; empty: the default
}

// Order is what a build asks for.
type Order struct {
	Plan
	Config string // file; empty: none
	// Login are the ssh keys of an image without Config, Import and Restore; nil: nobody can log
	// in.
	Login   []sshkey.Key
	Later   bool   // each card gets a configuration when it is written: that the image has none is no news
	Lenient bool   // keys of Config that do not exist are warnings
	Import  string // archive of migrate
	Restore string // archive of a backup
	K3s     string // auto (or empty), VERSION, FILE, firstboot, none
	Images  []string
	Blobs   string               // directory, skip, or empty
	Lock    string               // auto (or empty) or FILE
	Out     string               // directory; empty: out
	Pack    bool                 // make .img.zst, .upgrade and SHA256SUMS too
	Sign    *minisign.PrivateKey // signs the upgrade bundle; nil: there is none
}

// Tools are what an order works with.
type Tools struct {
	Cache    *blockcache.Cache
	Client   *debian.Client
	Carried  recipe.Carried
	Reporter Reporter
}

// Open checks board, role, packages and suites before it touches cache or network. The pins are for
// a new lock.
func Open(p Plan, report Reporter, pins ...debian.Pin) (*recipe.Asked, *Tools, error) {
	r, err := recipe.New(p.Board, p.Role, recipe.Choice{Packages: p.Packages, Without: p.Without, Pins: pins})
	if err != nil {
		return nil, nil, err
	}
	t := &Tools{Reporter: report}
	if t.Carried, err = image.Carried(r.Family.Arch); err != nil {
		return nil, nil, err
	}
	if t.Cache, err = blockcache.Open(p.Cache); err != nil {
		return nil, nil, err
	}
	mirrors, err := mirrors(p.Mirror)
	if err != nil {
		return nil, nil, err
	}
	t.Client = debian.NewClient(debian.Options{Cache: t.Cache, Mirrors: mirrors, Progress: report.Progress})
	return r, t, nil
}

// mirrors finds the Debian archive: what is asked for, the environment, the host's apt sources.
func mirrors(value string) (debian.Mirrors, error) {
	if value == "" {
		value = os.Getenv("IMGBUILD_MIRROR")
	}
	if value != "" {
		return debian.ParseMirror(value)
	}
	return debian.HostMirrors(os.DirFS("/etc/apt"))
}

// Asked is an order that can be carried out as far as this host knows. Close it in the end.
type Asked struct {
	*Tools
	asked    *recipe.Asked
	order    Order
	config   []byte
	node     *image.Node
	airGap   []image.AirGap
	blobs    image.Blobs
	warnings []string
}

// Ask checks an order: every file in it is read, and the configuration is looked at as the node
// will.
func Ask(o Order, report Reporter) (_ *Asked, err error) {
	if o.Out == "" {
		o.Out = "out"
	}
	a := &Asked{order: o}
	if a.asked, a.Tools, err = Open(o.Plan, report); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if o.Config != "" {
		if a.config, err = userfile.Read("config", o.Config); err != nil {
			return nil, err
		}
	}
	if o.Login != nil {
		if o.Config != "" || o.Import != "" || o.Restore != "" {
			return nil, fault.New(fault.Usage, "put the key under ssh_authorized_keys of the configuration", "key= is for an image without config=, import= and restore=")
		}
		if a.config, err = image.KeyConfig(a.asked.Role.Name, sshkey.Lines(o.Login)); err != nil {
			return nil, err
		}
	}
	if o.Blobs == "skip" {
		a.blobs.Skip = true
	} else {
		a.blobs.Dir = o.Blobs
	}
	if err = a.blobs.Check(a.asked.Family.Raw); err != nil {
		return nil, err
	}
	if err = image.CheckOut(o.Out); err != nil {
		return nil, err
	}
	moved, err := a.openNode()
	if err != nil {
		return nil, err
	}
	if err = a.checkConfig(); err != nil {
		return nil, err
	}
	a.warnings = append(a.warnings, moved...)
	if a.asked.Slot.K3s && recipe.IsK3sFile(o.K3s) {
		if _, err = recipe.K3sFile(o.K3s, a.asked.Family.Arch); err != nil {
			return nil, err
		}
	}
	if len(o.Images) > 0 {
		if o.K3s == recipe.NoK3s {
			return nil, fault.New(fault.Usage, "leave one of them out", "images= are for k3s, and k3s=none leaves it out")
		}
		if a.airGap, err = image.OpenAirGap(o.Images, a.asked.Family.Arch); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Close gives up what Ask opened.
func (a *Asked) Close() error { return a.node.Close() }

// checkConfig looks at the configuration that the node will have. Keys that do not exist are errors
// in the user's file alone: what an archive has cannot be corrected there.
func (a *Asked) checkConfig() (err error) {
	if a.order.Login != nil {
		a.warnings, err = image.CheckConfig("key="+a.order.Login[0].File, a.asked, true, nil, image.Source{Name: "config.yaml", Data: a.config})
		return err
	}
	if a.config != nil {
		if empty := config.Empty(filepath.Base(a.order.Config), a.config); empty != nil {
			return fault.New(fault.Input, empty[0].Fix+"; without config= the image has none", "%s: %s", a.order.Config, empty[0].Message)
		}
		own := image.Source{Name: a.order.Config, Data: a.config}
		a.warnings, err = image.CheckConfig(a.order.Config, a.asked, a.order.Lenient, a.node, own)
		return err
	}
	if a.node == nil && a.order.Later {
		return nil
	}
	if a.node == nil {
		a.warnings, err = image.CheckConfig("it", a.asked, true, nil)
		for i, w := range a.warnings {
			if strings.Contains(w, config.NobodyCanLogIn) {
				a.warnings[i] = config.NobodyCanLogIn + " and no configuration; give config=FILE, or key=default for your first key of ~/.ssh, or put config.yaml onto the card's BOOT partition"
			}
		}
		return err
	}
	if a.warnings, err = image.CheckConfig("it", a.asked, true, a.node); err != nil {
		err = fmt.Errorf("the configuration in %s: %w; give a corrected copy as config=FILE", filepath.Base(a.node.Name()), err)
	}
	return err
}

// openNode opens what import= or restore= name. The user's own configuration counts more than the
// archive's.
func (a *Asked) openNode() (warnings []string, err error) {
	switch o := a.order; {
	case o.Import != "" && o.Restore != "":
		return nil, fault.New(fault.Usage, "a backup restores a server whole", "import= and restore= do not go together")
	case o.Import != "":
		a.node, err = image.OpenNode(o.Import, archive.Migrate, a.asked, o.Out)
	case o.Restore != "":
		a.node, err = image.OpenNode(o.Restore, archive.Backup, a.asked, o.Out)
	}
	if a.node == nil || err != nil {
		return nil, err
	}
	name := a.node.Hostname
	if name == "" {
		name = "a node"
	}
	warnings = append(warnings, fmt.Sprintf("the image holds %s whole, keys and tokens included: only you may read it, and it is best removed once it is on the card; never let two nodes run from it", name))
	if a.node.Disk {
		warnings = append(warnings, "its k3s had its data on a disk of their own (data.device): if that disk is attached, k3s goes on with what is on it; an empty one gets the backup's data; without one k3s waits, unless config= names no data.device")
	}
	if a.config != nil {
		warnings = append(warnings, a.node.Replace(a.config)...)
	}
	return warnings, nil
}

// relocked describes what a new lock changes; nothing for nil.
func relocked(re *recipe.Relock) []string {
	if re == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("the packages were locked again: %s", re.Why)}
	for i, c := range re.Changes {
		if i == 40 {
			lines = append(lines, fmt.Sprintf("  and %d more", len(re.Changes)-i))
			break
		}
		lines = append(lines, "  "+c.String())
		for _, l := range c.Scripts {
			lines = append(lines, "      "+l)
		}
	}
	return lines
}

// lines takes a warning apart for Warn.
func lines(warning string) []string {
	return strings.Split(strings.TrimPrefix(warning, "warning: "), "\n")
}
