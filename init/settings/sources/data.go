package sources

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
)

// kept is the directory of the store for what other places gave last: with it a node comes up when
// they cannot be asked. Each place has a directory of its own there, named by a hash of how the
// configuration writes it.
const kept = "data"

// names inside the directory of a place.
const (
	origin    = ".origin" // sha256 of what came, before its password was hashed
	KeysFile  = "keys"    // ssh keys of github:USER and its like
	urlFile   = config.UserDataName
	maxAnswer = config.MaxSize
)

// Volume is the name by which the files of a CIDATA volume are kept: all ways to write it mean the
// same.
const Volume = "cidata"

// place is the directory of what a place gave.
func place(store, source string) string {
	sum := sha256.Sum256([]byte(source))
	return filepath.Join(store, kept, hex.EncodeToString(sum[:8]))
}

// Keep notes what a place gave, by file name, and reports whether that is new. A configuration that
// cannot be read as a whole is an error of kind fault.Input and what was kept stays. Clear-text
// passwords are hashed. A file that is there no more is forgotten.
func Keep(store, source string, files map[string][]byte) (changed bool, err error) {
	dir := place(store, source)
	names := []string{urlFile, config.NetworkConfigName, config.MetaDataName, KeysFile}
	sum := sha256.New()
	for _, name := range names {
		if data, ok := files[name]; ok {
			sum.Write([]byte(name))
			sum.Write([]byte{0})
			one := sha256.Sum256(data)
			sum.Write(one[:])
		}
	}
	mark := []byte(hex.EncodeToString(sum.Sum(nil)))
	if now, err := os.ReadFile(filepath.Join(dir, origin)); err == nil && bytes.Equal(now, mark) {
		return false, nil
	}
	keep := map[string][]byte{}
	for name, data := range files {
		if keep[name] = data; name == KeysFile {
			continue
		}
		previous, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		var salt [16]byte
		if _, err := rand.Read(salt[:]); err != nil {
			return false, err
		}
		in, err := config.Import(name, data, previous, salt[:])
		if err != nil {
			return false, err
		}
		keep[name] = in.Keep
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	if err := os.Remove(filepath.Join(dir, origin)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		data, ok := keep[name]
		if !ok {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			continue
		}
		if err := atomicfile.Write(path, data, 0o600); err != nil {
			return false, err
		}
	}
	return true, atomicfile.Write(filepath.Join(dir, origin), mark, 0o600)
}

// Kept returns a file that a place gave last, nil if there is none.
func Kept(store, source, name string) []byte {
	data, err := os.ReadFile(filepath.Join(place(store, source), name))
	if err != nil {
		return nil
	}
	return data
}

// Has reports whether anything is kept of a place.
func Has(store, source string) bool {
	_, err := os.Stat(filepath.Join(place(store, source), origin))
	return err == nil
}

// Matches reports whether what is kept of a URL is what its hash asks for, so that it need not be
// fetched.
func Matches(store, source string, want []byte) bool {
	now, err := os.ReadFile(filepath.Join(place(store, source), origin))
	if err != nil || len(want) == 0 {
		return false
	}
	sum := sha256.New()
	sum.Write([]byte(urlFile))
	sum.Write([]byte{0})
	sum.Write(want)
	return string(now) == hex.EncodeToString(sum.Sum(nil))
}

// Forget removes what is kept of places that the configuration no longer names.
func Forget(store string, sources []string) error {
	named := map[string]bool{}
	for _, s := range sources {
		named[filepath.Base(place(store, s))] = true
	}
	entries, err := os.ReadDir(filepath.Join(store, kept))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if !named[e.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(store, kept, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// Source is an item of k3os.data_sources that can be read.
type Source struct {
	Name string // by which it is kept
	config.DataSource
}

// List returns the places that a configuration names; the check has reported invalid ones.
func List(items []string) []Source {
	var out []Source
	seen := map[string]bool{}
	for _, text := range items {
		s, err := config.ParseDataSource(text)
		if err != nil {
			continue
		}
		name := text
		if s.Volume {
			name = Volume
		}
		if !seen[name] {
			seen[name] = true
			out = append(out, Source{name, s})
		}
	}
	return out
}

// dataLayers returns the layers of the places that the layers so far name: who the machine is, its
// network, the rest.
func dataLayers(root string, layers []*config.Layer) (out []*config.Layer, problems []config.Problem) {
	asked := false
	for _, l := range layers {
		asked = asked || l.Has("k3os.data_sources")
	}
	if !asked {
		return nil, nil
	}
	c, _ := config.Merge(layers...)
	for _, s := range List(c.K3OS.DataSources) {
		add := func(f config.Format, name string, data []byte) {
			if data == nil {
				return
			}
			l, p := config.ParseAs(f, name, data)
			out, problems = append(out, l), append(problems, p...)
		}
		store := filepath.Join(root, Store)
		switch {
		case s.Volume:
			for _, name := range []string{config.MetaDataName, config.NetworkConfigName, config.UserDataName} {
				add(config.FormatOf(name), Volume+"/"+name, Kept(store, s.Name, name))
			}
		case s.Path != "":
			data, err := readSome(filepath.Join(root, s.Path))
			if err != nil {
				problems = append(problems, config.Problem{File: s.Path, Message: err.Error(), Severity: config.Error, Fix: "correct k3os.data_sources"})
			}
			add(config.UserData, s.Path, data)
		default:
			add(config.UserData, mask.URL(s.URL), Kept(store, s.Name, urlFile))
		}
	}
	return out, problems
}

// readSome reads a file that is no larger than a configuration may be, and one byte more.
func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxAnswer+1))
}

// errNothing is for a volume that has none of the files.
func errNothing(device string) error {
	return fault.New(fault.Input, "put a file user-data onto it", "%s is called CIDATA and has no user-data", device)
}
