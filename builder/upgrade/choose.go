package upgrade

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/builder/bundle"
	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// shelf is what the laptop has to send: bundles, and slots that deltas can start from.
type shelf struct {
	named  bool // one bundle was asked for by name
	dir    string
	offers []*bundle.Offer
	olds   []string // images and bundles
	sums   map[string][32]byte
}

// openShelf opens the bundle called name or, without one, all of dir, and notes where older slots
// may be: next to it, in dir and in the files of from.
func openShelf(name, dir string, from []string) (*shelf, error) {
	for _, n := range from { // one that cannot be read would make every transfer large, without a word
		f, err := userfile.Open("from", n)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	s := &shelf{named: name != "", dir: dir, sums: map[string][32]byte{}}
	names := []string{name}
	if name == "" {
		names, _ = filepath.Glob(filepath.Join(dir, "*"+format.Suffix)) // the pattern is good
	}
	for _, n := range names {
		o, err := bundle.OpenOffer(n)
		if err != nil {
			if s.named {
				s.close()
				return nil, err
			}
			continue // another file of that name
		}
		s.offers = append(s.offers, o)
	}
	if len(s.offers) == 0 {
		return nil, fault.New(fault.Input, "build one with a key (`imgbuild keygen` makes it), or name it with bundle=FILE", "there is no *%s file in %s", format.Suffix, dir)
	}
	slices.SortStableFunc(s.offers, newest)
	s.olds = append(s.olds, from...)
	for _, d := range []string{filepath.Dir(name), dir} {
		for _, pattern := range []string{"*" + format.Suffix, "*.img"} {
			more, _ := filepath.Glob(filepath.Join(d, pattern)) // the pattern is good
			s.olds = append(s.olds, more...)
		}
	}
	return s, nil
}

// newest sorts by the date of the lock, then by when the file was written.
func newest(a, b *bundle.Offer) int {
	return cmp.Or(cmp.Compare(b.Manifest.Date, a.Manifest.Date), b.Written().Compare(a.Written()))
}

func (s *shelf) close() {
	for _, o := range s.offers {
		o.Close()
	}
}

// choose returns the bundle for a node: the one that was named, else the newest for its family and
// role.
func (s *shelf) choose(h dialogue.Hello) (*bundle.Offer, error) {
	if s.named {
		return s.offers[0], nil // the node judges it
	}
	var have []string
	for _, o := range s.offers {
		m := o.Manifest
		if m.Family == h.Family && slices.Contains(m.Roles, h.Role) {
			return o, nil
		}
		if what := fmt.Sprintf("%s (%s)", m.Family, strings.Join(m.Roles, ", ")); !slices.Contains(have, what) {
			have = append(have, what)
		}
	}
	return nil, fault.New(fault.Input, "build one, or name it with bundle=FILE",
		"%s has bundles for %s, none for a %s of family %s", s.dir, strings.Join(have, "; "), h.Role, h.Family)
}

// errUnknown means that no file here holds the slot that a node runs.
var errUnknown = errors.New("the running slot is not known here")

// old opens the slot whose manifest has this sum.
func (s *shelf) old(sum [32]byte) (*bundle.Slot, error) {
	for _, name := range s.olds {
		got, ok := s.sums[name]
		if !ok {
			var err error
			if got, err = bundle.SumOf(name); err != nil {
				got = [32]byte{} // no image of ours, or one that was removed
			}
			s.sums[name] = got
		}
		if got == sum {
			return bundle.OpenFile(name)
		}
	}
	return nil, errUnknown
}

// k3sFile finds the k3s binary that the node needs next to its slot.
func k3sFile(o *bundle.Offer) (*os.File, error) {
	k := o.Manifest.K3s
	if k == nil {
		return nil, fault.New(fault.Input, "", "the bundle needs no k3s")
	}
	name := filepath.Join(filepath.Dir(o.Name), "k3s-"+k.Version+"-"+o.Manifest.Arch)
	f, err := os.Open(name)
	return f, fault.Wrap(err, fault.Input, "put the release's file there", "k3s %s", k.Version)
}
