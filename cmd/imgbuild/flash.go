package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/builder/cluster"
	"imgbuild/builder/flash"
	"imgbuild/builder/image"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/contract/userfile"
)

var flashVerb = line.Verb{
	Name:     "flash",
	Operands: "IMAGE|NODE [DEVICE]",
	Summary:  "Write an image to a card and compare it. NODE is one of ./cluster.yaml: its image of out= with its configuration. Without DEVICE it lists the cards and asks. Disks that this machine runs from are never written.",
	Keys: []line.Key{
		{Name: "config", Value: "FILE", Doc: "cloud-config to write to the card in the place of the image's own."},
		boardKey, roleKey,
		{Name: "sha256", Value: "HEX", Doc: "Of IMAGE, where that is an http or https address."},
		{Name: "yes", Value: "SERIAL", Doc: "The serial number of the disk, which answers the question in scripts."},
		{Name: "out", Value: "DIR", Doc: "Where a node's image is, and where a .zst or a download is unpacked; default out."}},
	Examples: []string{"sudo imgbuild flash node2", "sudo imgbuild flash out/rpi4-worker-20261122-0badc0de.img", "sudo imgbuild flash out/rpi4-worker-20261122-0badc0de.img.zst /dev/sdb", "sudo imgbuild flash node.img /dev/sdb config=node2.yaml board=rpi4 role=worker yes=4C530001230101"},
	Run:      doFlash,
}

func doFlash(ctx context.Context, a *line.Args) error {
	if len(a.Operands) < 1 || len(a.Operands) > 2 {
		return fault.New(fault.Usage, "run `imgbuild flash IMAGE [DEVICE]`", "flash takes an image and a disk")
	}
	s := newScreen(os.Stderr)
	defer s.Done()
	name, config, err := flashWhat(a)
	if err != nil {
		return err
	}
	source, err := flash.OpenAny(ctx, name, a.Values["sha256"], cmp.Or(a.Values["out"], "out"), func(done, total int64) { s.Progress("unpack the image", done, total) })
	if err != nil {
		return err
	}
	defer source.Close()
	if source.Whole {
		s.Warn("there is no block map next to the image: all of it is written")
	}
	if config != nil {
		err = source.Configure(config)
	} else {
		err = flashConfig(a, source, s)
	}
	if err != nil {
		return err
	}
	device := ""
	if len(a.Operands) == 2 {
		device = a.Operands[1]
	}
	s.Done()
	card, where, err := openCard(ctx, device, source.Map.Size, a.Values["yes"])
	if err != nil {
		return err
	}
	defer card.Close()
	began := time.Now()
	s.phases = []string{"probe", "write", "compare"}
	report := flash.Report{Progress: s.Progress, Stalled: func(since time.Duration) {
		s.Warn(fmt.Sprintf("the card has not taken anything for %v; some pause that long, broken ones do not go on", since))
	}}
	if err := flash.Write(ctx, card, source, report); err != nil {
		return err
	}
	s.Done()
	card.Announce()
	fmt.Printf("%s holds the image: %s written and compared in %.0f s. It can be taken out.\n", where, size(source.Map.Mapped()), time.Since(began).Seconds())
	return nil
}

// flashWhat is the image to write, and the configuration that belongs onto it: of a node of
// ./cluster.yaml its own, else nil. A file of that name comes first.
func flashWhat(a *line.Args) (name string, text []byte, err error) {
	name = a.Operands[0]
	if !cluster.Means(".", name) {
		return name, nil, nil
	}
	for _, key := range []string{"config", "board", "role", "sha256"} {
		if a.Values[key] != "" {
			return "", nil, fault.New(fault.Usage, "leave it out", "%s has what %s= would be for", cluster.File, key)
		}
	}
	if name == cluster.All {
		return "", nil, fault.New(fault.Usage, "name one node", "a card is for one node")
	}
	_, nodes, _, err := cluster.Nodes(".", []string{name}, clusterWord(cluster.SecretsFile))
	if err != nil {
		return "", nil, err
	}
	n := nodes[0]
	name, err = image.NewestPlain(cmp.Or(a.Values["out"], "out"), n.Board, n.Role)
	if err != nil {
		what, _ := fault.Parts(err)
		return "", nil, fault.New(fault.Input, "build it: imgbuild build "+n.Name, "%s", what)
	}
	return name, n.Config, nil
}

// flashConfig puts config= on what is written, after the check that a build makes.
func flashConfig(a *line.Args, source *flash.Source, s *screen) error {
	file := a.Values["config"]
	if file == "" {
		return nil
	}
	data, err := userfile.Read("config", file)
	if err != nil {
		return err
	}
	problems, err := image.ValidateFor(file, data, a.Values["board"], a.Values["role"])
	if err != nil {
		return err
	}
	var bad []string
	for _, p := range config.Strict(problems) {
		if p.Severity == config.Error {
			bad = append(bad, p.String())
		} else {
			s.Warn(strings.TrimPrefix(p.String(), "warning: "))
		}
	}
	if bad != nil {
		return fault.New(fault.Input, "correct it; `imgbuild validate FILE` shows the same list", "%s cannot be used:\n  %s", file, strings.Join(bad, "\n  "))
	}
	return source.Configure(data)
}

// openCard finds the disk, asks, and opens it. It looks again after the answer: what was pulled and
// what came in its place must not be written.
func openCard(ctx context.Context, device string, need int64, serial string) (*flash.Card, string, error) {
	if info, err := os.Stat(device); device != "" && err == nil && info.Mode().IsRegular() {
		return openFile(device, need)
	}
	t, err := flash.Read("/")
	if err != nil {
		return nil, "", err
	}
	d, byID, err := chooseCard(ctx, t, device, need)
	if err != nil {
		return nil, "", err
	}
	if err := t.Check(d.Name, need, byID); err != nil {
		return nil, "", err
	}
	if err := agree(ctx, t, d, serial); err != nil {
		return nil, "", err
	}
	path := "/dev/" + d.Name
	card, err := flash.Open(path)
	if err != nil {
		return nil, "", err
	}
	now, err := flash.Read("/")
	if err == nil {
		if again, _ := now.ByName(path); !d.Same(again) {
			err = fault.New(fault.Device, "run it again", "%s is not the disk any more that was asked about", path)
		} else {
			err = now.Check(d.Name, need, byID)
		}
	}
	if err != nil {
		card.Close()
		return nil, "", err
	}
	return card, path, nil
}

func openFile(name string, need int64) (*flash.Card, string, error) {
	c, err := flash.Open(name)
	if err != nil {
		return nil, "", err
	}
	if c.Size() < need {
		c.Close()
		return nil, "", fault.New(fault.Device, fmt.Sprintf("make it larger: truncate -s %d %s", need, terminal.Quote(name)), "%s has %d bytes and the image needs %d", name, c.Size(), need)
	}
	return c, name, nil
}

// chooseCard is the disk that is named, else the one that the user chooses of a list.
func chooseCard(ctx context.Context, t *flash.Table, device string, need int64) (d *flash.Device, byID bool, err error) {
	if device != "" {
		path := device
		if real, err := filepath.EvalSymlinks(device); err == nil && !strings.HasPrefix(device, "/dev/disk/by-id/") {
			path = real
		}
		d, byID := t.ByName(path)
		if d == nil {
			return nil, false, fault.New(fault.Usage, "run imgbuild flash IMAGE for a list", "%s is not a disk of this machine", device)
		}
		return d, byID, nil
	}
	list, refused := t.Choices(need)
	for _, err := range refused {
		what, fix := fault.Parts(err)
		fmt.Fprintln(os.Stderr, line.Fold(terminal.Text("  not offered: "+what+"; "+fix), 4, widest))
	}
	if len(list) == 0 {
		return nil, false, fault.New(fault.Device, "put a card into the reader", "there is no card to write to")
	}
	for i, d := range list {
		fmt.Fprintf(os.Stderr, "  %d  %s\n", i+1, t.Describe(d))
	}
	if !onTerminal() {
		return nil, false, fault.New(fault.Usage, "give the disk, and its serial number as yes=", "there is no terminal to ask which")
	}
	for {
		answer, err := ask(ctx, "Which one? Number: ")
		if err != nil {
			return nil, false, err
		}
		for i, d := range list {
			if answer == fmt.Sprint(i+1) {
				return d, false, nil
			}
		}
	}
}

// agree asks whether everything on the disk may be deleted; yes=SERIAL answers.
func agree(ctx context.Context, t *flash.Table, d *flash.Device, serial string) error {
	switch {
	case serial != "" && serial == d.Serial:
		return nil
	case serial != "" && d.Serial == "":
		return fault.New(fault.Usage, "answer the question on a terminal", "/dev/%s has no serial number", d.Name)
	case serial != "":
		return fault.New(fault.Usage, "give yes="+terminal.Quote(d.Serial)+" if this is the right disk", "/dev/%s has another serial number than %s", d.Name, serial)
	case !onTerminal():
		return fault.New(fault.Usage, "give its serial number as yes=", "there is no terminal to ask whether /dev/%s may be deleted", d.Name)
	}
	fmt.Fprintf(os.Stderr, "%s\nEverything on it is deleted.\n", t.Describe(d))
	answer, err := ask(ctx, "Write "+d.Name+" to go on: ")
	if err != nil {
		return err
	}
	if answer != d.Name {
		return fault.New(fault.Usage, "", "nothing was written")
	}
	return nil
}
