// Package sources is where a node's configuration comes from: it imports what people put on the
// boot partition, takes the secrets off it, and returns the layers that make the node's
// configuration, in order.
package sources

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Where things are on a node.
const (
	Boot  = "/boot"                 // BOOT, mounted read-only
	Store = "/k3os/config"          // what was imported, on the data partition, 0700
	Local = "/var/lib/rancher/k3os" // k3OS's own places: config.yaml and config.d
)

// Main is the imported main file.
const Main = Store + "/" + mainStore

// names of the main file on BOOT and in the store, and of the directory of parts in both.
const (
	mainBoot  = "config.yaml"
	mainStore = "system.yaml"
	parts     = "config.d"
	image     = "00-image.yaml" // what the image sets: below everything else
	seen      = ".boot"         // next to an imported file: how it should look on BOOT
	pending   = ".pending"      // the same, while BOOT is being changed

	damagedEnd = ".damaged" // what could not be read any more
)

// Importer imports from a mounted BOOT.
type Importer struct {
	Boot, Store string
	// Overwrite replaces a file of BOOT in place by a text of the same length. Nil leaves BOOT as
	// it is, which is right when the store is not durable: the secrets would be nowhere then.
	Overwrite func(name string, text []byte) error
}

// imager are the files that Raspberry Pi Imager writes in cloud-init's format. config.yaml is above
// them.
var imager = []string{config.UserDataName, config.NetworkConfigName, config.MetaDataName}

// legacy are files that other systems of the Raspberry Pi read from BOOT and this one does not.
var legacy = []string{"firstrun.sh", "wpa_supplicant.conf", "userconf.txt", "rpi-preseed.toml", "custom.toml"}

// Run imports what is new on BOOT: config.yaml, Raspberry Pi Imager's files, and config.d/*.yaml
// one by one. A file that cannot be read as a whole is not imported and what was imported before
// stays. A part that was taken out of config.d is forgotten; a config.yaml that is gone is not, for
// a node without settings is out of reach. Findings about the content come as problems, the rest as
// errors.
func (im Importer) Run() ([]config.Problem, error) {
	names := []string{}
	for _, name := range append([]string{mainBoot}, imager...) {
		if _, err := os.Stat(filepath.Join(im.Boot, name)); err == nil {
			names = append(names, name)
		}
	}
	entries, _ := os.ReadDir(filepath.Join(im.Boot, parts))
	for _, e := range entries {
		if !e.IsDir() && isYAML(e.Name()) {
			names = append(names, parts+"/"+e.Name())
		}
	}
	if err := os.MkdirAll(filepath.Join(im.Store, parts), 0o700); err != nil {
		return nil, err
	}
	problems := im.misnamed()
	for _, name := range legacy {
		if _, err := os.Stat(filepath.Join(im.Boot, name)); err == nil {
			problems = append(problems, config.Problem{File: name, Severity: config.Warning, Message: "this is for Raspberry Pi OS and is not read here",
				Fix: "put the same into config.yaml next to it, and delete it: it may hold a password"})
		}
	}
	errs := []error{im.forgetParts(), im.forgetImager()}
	for _, name := range names {
		p, err := im.one(name)
		problems = append(problems, p...)
		errs = append(errs, err)
	}
	return problems, errors.Join(errs...)
}

// misnamed reports files that are nearly called as one that is read: Windows hides the last ending
// of a name.
func (im Importer) misnamed() (problems []config.Problem) {
	look := func(dir string, meant func(name string) string) {
		entries, _ := os.ReadDir(filepath.Join(im.Boot, dir))
		for _, e := range entries {
			if to := meant(strings.ToLower(e.Name())); to != "" && !e.IsDir() {
				problems = append(problems, config.Problem{File: filepath.Join(dir, e.Name()), Severity: config.Error, Message: "a file of this name is not read",
					Fix: "rename it to " + to + "; Windows shows the whole name with View, Show, File name extensions"})
			}
		}
	}
	look("", func(name string) string {
		for _, right := range append([]string{mainBoot}, imager...) {
			bare := strings.TrimSuffix(right, ".yaml")
			for _, end := range []string{"", ".txt", ".yaml", ".yml", ".yaml.txt", ".yml.txt", ".rtf", ".doc"} {
				if name == bare+end && name != right && (end != "" || bare == right) && name != "config.txt" {
					return right
				}
			}
		}
		return ""
	})
	look(parts, func(name string) string {
		if bare, ok := strings.CutSuffix(name, ".txt"); ok && !strings.HasPrefix(name, ".") {
			return parts + "/" + strings.TrimSuffix(strings.TrimSuffix(bare, ".yaml"), ".yml") + ".yaml"
		}
		return ""
	})
	return problems
}

// forgetImager removes what came from files of Raspberry Pi Imager that are on BOOT no more, where
// a config.yaml is there that sets something: without any settings the node would be out of reach.
func (im Importer) forgetImager() error {
	data, err := readSome(filepath.Join(im.Boot, mainBoot))
	if err != nil || !setsAny(mainBoot, data) {
		return nil
	}
	var errs []error
	for _, name := range imager {
		path := im.stored(name)
		if _, err := os.Stat(filepath.Join(im.Boot, name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Stat(path + seen); err != nil {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.Remove(path+seen))
	}
	return errors.Join(errs...)
}

func isYAML(name string) bool {
	ext := strings.ToLower(filepath.Ext(name))
	return !strings.HasPrefix(name, ".") && (ext == ".yaml" || ext == ".yml")
}

// forgetParts removes the parts that came from BOOT and are there no more. A directory that is gone
// as a whole is more likely the card's fault than anybody's wish.
func (im Importer) forgetParts() error {
	entries, err := os.ReadDir(filepath.Join(im.Boot, parts))
	if err != nil {
		return nil
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[strings.ToLower(e.Name())] = true
	}
	stored, err := os.ReadDir(filepath.Join(im.Store, parts))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range stored {
		name, came := strings.CutSuffix(e.Name(), seen)
		if !came || name == image || there[strings.ToLower(name)] {
			continue
		}
		path := filepath.Join(im.Store, parts, name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.Remove(path+seen))
	}
	return errors.Join(errs...)
}

// stored is the path of an imported file.
func (im Importer) stored(name string) string {
	if name == mainBoot {
		name = mainStore
	}
	return filepath.Join(im.Store, name)
}

// one imports one file. The order of the writes makes a power cut at any moment harmless: first the
// node keeps the file, then it notes how BOOT is going to look, then it changes BOOT; a change that
// was cut short is finished, not imported.
func (im Importer) one(name string) ([]config.Problem, error) {
	data, err := readSome(filepath.Join(im.Boot, name))
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "check the card on a laptop", "the configuration cannot be read from the boot partition")
	}
	path := im.stored(name)
	was, err := os.ReadFile(path + seen)
	known := err == nil
	if p := hollow(name, data, path); p != nil {
		return p, nil
	}
	if half, err := os.ReadFile(path + pending); err == nil && torn(data, half, was) {
		return nil, im.settle(name, path, half, data)
	}
	var again []config.Problem
	if known && bytes.Equal(was, data) {
		if again = lost(name, path, data); again == nil {
			return nil, nil
		}
	}
	previous, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && again == nil {
		return nil, err
	}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return nil, err
	}
	in, err := config.Import(name, data, previous, salt[:])
	in.Problems = append(again, in.Problems...)
	if in.Layer.Empty() && err == nil && !config.Hollow(data) && setsAny(name, previous) {
		in.Problems = append(in.Problems, config.Problem{File: name, Severity: config.Warning, Message: "only comments are left in it, so that what it set before is taken back",
			Fix: "delete the file to go back to no settings, or write the settings again"})
	}
	if err != nil {
		return in.Problems, err
	}
	if err := atomicfile.Write(path, in.Keep, 0o600); err != nil {
		return in.Problems, err
	}
	want := data
	if in.Blanked != nil && im.Overwrite != nil {
		want = in.Blanked
	}
	if err := atomicfile.Write(path+pending, want, 0o600); err != nil {
		return in.Problems, err
	}
	return in.Problems, im.settle(name, path, want, data)
}

// hollow reports a file with nothing in it, or NULs and white space alone, where the node has
// taken over settings from it before: that is what a card leaves that was pulled out while it was
// written, and nobody's wish. The node's settings stay in force until the file is whole again, or
// gone. A meta-data without anything in it is one of cloud-init's usual ways.
func hollow(name string, data []byte, path string) []config.Problem {
	if !config.Hollow(data) || name == config.MetaDataName && !bytes.ContainsRune(data, 0) {
		return nil
	}
	if had, err := os.ReadFile(path); err != nil || config.Hollow(had) {
		return nil
	}
	return []config.Problem{{File: name, Severity: config.Error, Message: "the file is damaged: there is nothing in it; the node keeps the settings that it had",
		Fix: "write it again, or delete it to take its settings away"}}
}

// setsAny reports whether a text sets anything.
func setsAny(name string, text []byte) bool {
	l, _ := config.Parse(name, text)
	return !l.Empty()
}

// lost looks whether the node still has what it kept of a file that is on BOOT as it left it: a
// card that fails, or its repair, may have taken that away, and a node without settings is out of
// reach. Then the file is imported again, as far as BOOT still has it, and what is left of the
// other is next to it for who may need its secrets.
func lost(name, path string, boot []byte) []config.Problem {
	data, err := os.ReadFile(path)
	why := "is gone"
	if err == nil {
		_, problems := config.Parse(name, data)
		if (len(data) > 0 || len(boot) == 0) && !slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Fatal }) {
			return nil
		}
		why = "is damaged, and is now kept as " + path + damagedEnd
		_ = os.Rename(path, path+damagedEnd)
	} else if !errors.Is(err, fs.ErrNotExist) {
		why = "cannot be read"
	}
	return []config.Problem{{File: name, Severity: config.Error, Message: "what the node had kept of it " + why + "; it is imported again as it is here, where its secrets are blanked",
		Fix: "write its secrets into it again; look after the card, which may be failing"}}
}

// sector is what a disk writes whole. Files begin at one.
const sector = 512

// torn reports whether now is on its way from was, which may be nil for not known, to want: each
// sector is the one or the other, or the same except for bytes that are going to be blanked.
func torn(now, want, was []byte) bool {
	if len(now) != len(want) {
		return false
	}
	for at := 0; at < len(now); at += sector {
		end := min(at+sector, len(now))
		if len(was) == len(now) && bytes.Equal(now[at:end], was[at:end]) {
			continue
		}
		for i := at; i < end; i++ {
			if now[i] != want[i] && want[i] != 'x' {
				return false
			}
		}
	}
	return true
}

// settle makes BOOT look as it should and notes that it does.
func (im Importer) settle(name, path string, want, now []byte) error {
	if !bytes.Equal(want, now) && im.Overwrite != nil {
		if err := im.Overwrite(name, want); err != nil {
			return fault.Wrap(err, fault.Device, "remove them there yourself; the node has its copy", "the secrets in %s could not be taken off the boot partition", name)
		}
	}
	if err := os.Rename(path+pending, path+seen); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

// Layers returns the node's layers, the later ones winning: what the image sets, what Raspberry Pi
// Imager wrote, the imported main file and its parts, the kernel's command line, k3OS's own file on
// the data partition, what data sources gave, and k3OS's directory. A source that does not exist is
// left out. Of a file that could never be imported, because it cannot be read as a whole, those
// keys count that can. Imported files carry the names that they have on BOOT, where people correct
// them. root is put before the paths.
func Layers(root, cmdline string) ([]*config.Layer, []config.Problem) {
	return LayersWith(root, cmdline, nil)
}

// LayersWith is Layers with another text in the place of the imported main file; nil leaves it as
// it is.
func LayersWith(root, cmdline string, main []byte) ([]*config.Layer, []config.Problem) {
	var layers []*config.Layer
	var problems []config.Problem
	add := func(path, name string) {
		data, err := os.ReadFile(filepath.Join(root, path))
		if main != nil && path == Main {
			data, err = main, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			if data = onlyOnBoot(root, name); data == nil {
				return
			}
			err = nil
		}
		if err != nil {
			problems = append(problems, config.Problem{File: name, Message: err.Error(), Severity: config.Error, Fatal: true})
			return
		}
		l, p := config.Parse(name, data)
		l.Unseen = name == parts+"/"+image
		layers, problems = append(layers, l), append(problems, p...)
	}
	dir := func(path, shown string, every bool) {
		entries, _ := os.ReadDir(filepath.Join(root, path))
		if !every {
			onBoot, _ := os.ReadDir(filepath.Join(root, Boot, shown))
			entries = append(entries, onBoot...)
		}
		var names []string
		for _, e := range entries {
			if !e.IsDir() && e.Name() != image && (isYAML(e.Name()) || every && !strings.HasPrefix(e.Name(), ".")) {
				names = append(names, e.Name())
			}
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			add(filepath.Join(path, name), filepath.Join(shown, name))
		}
	}
	add(filepath.Join(Store, parts, image), parts+"/"+image)
	for _, name := range []string{config.MetaDataName, config.NetworkConfigName, config.UserDataName} {
		add(filepath.Join(Store, name), name)
	}
	add(Main, mainBoot)
	dir(filepath.Join(Store, parts), parts, false)
	l, p := config.CmdlineLayer(cmdline)
	layers, problems = append(layers, l), append(problems, p...)
	add(filepath.Join(Local, mainBoot), filepath.Join(Local, mainBoot))
	more, p := dataLayers(root, layers)
	layers, problems = append(layers, more...), append(problems, p...)
	dir(filepath.Join(Local, parts), filepath.Join(Local, parts), true) // k3OS takes files of any name
	return layers, problems
}
