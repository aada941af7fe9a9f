// Package blocklist reads lists of names that are not to be resolved, keeps them on the node and
// makes the file of them that dnsmasq reads.
//
// A list has the form of /etc/hosts: an address that leads nowhere, and names. dnsmasq blocks a
// name together with all names below it, which takes a third of the memory of exact names with both
// kinds of address; what would block too much by that is left out (see Why).
package blocklist

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Limits of what is taken.
const (
	MaxNames = 250_000  // of all lists together
	MaxBytes = 64 << 20 // of one list
	maxLine  = 4096
)

// Why is the reason why something of a list is not used.
type Why string

// The reasons. Form counts lines, the others names.
const (
	Form   Why = "not in hosts form"
	Target Why = "leads to an address"
	Name   Why = "not a name"
	Broad  Why = "too many names below"
	Ours   Why = "a name of ours"
	Many   Why = "over the limit"
)

// Left counts what is left out.
type Left map[Why]int

// usual are names that lists in hosts form have for the machine itself.
var usual = []string{"localhost", "localhost.localdomain", "local", "broadcasthost", "localdomain", "0.0.0.0"}

// Parse reads a list in hosts form, at most max names of it: in lower case, sorted, each once.
// It fails only if r does, or is longer than MaxBytes; what it has read by then is not used.
func Parse(r io.Reader, limit int) ([]string, Left, error) {
	limited := &io.LimitedReader{R: r, N: MaxBytes + 1}
	b := bufio.NewReaderSize(limited, maxLine)
	p := parser{limit: limit, left: Left{}}
	for {
		line, err := b.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		if long {
			p.left[Form]++
		} else {
			p.line(line)
		}
		if err != nil {
			break
		}
	}
	if limited.N <= 0 {
		return nil, nil, errors.New("it is longer than 64 MiB")
	}
	p.compact()
	return p.names, p.left, nil
}

type parser struct {
	names []string
	limit int
	full  bool // names is compact, and has about as many as it may
	left  Left
}

func (p *parser) compact() {
	slices.Sort(p.names)
	p.names = slices.Compact(p.names)
}

// line takes the names of a line.
func (p *parser) line(line []byte) {
	line, _, _ = bytes.Cut(line, []byte("#"))
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return
	}
	address, err := netip.ParseAddr(words[0])
	if err != nil || len(words) == 1 {
		p.left[Form]++
		return
	}
	for _, word := range words[1:] {
		name := strings.TrimSuffix(strings.ToLower(word), ".")
		switch {
		case slices.Contains(usual, name) || strings.HasPrefix(name, "ip6-"):
		case !address.IsUnspecified() && !address.IsLoopback():
			p.left[Target]++
		case !valid(name):
			p.left[Name]++
		case broad(name):
			p.left[Broad]++
		default:
			p.add(name)
		}
	}
}

// add takes a name unless the limit is reached. Names that are there twice do not count.
func (p *parser) add(name string) {
	if len(p.names) >= p.limit && !p.full {
		p.compact()
		p.full = len(p.names) > p.limit/10*9 // each time a tenth at least gets free
	}
	if p.full {
		if _, there := slices.BinarySearch(p.names, name); !there {
			p.left[Many]++
		}
		return
	}
	p.names = append(p.names, strings.Clone(name)) // without the rest of its line
}

// valid reports whether dnsmasq and DNS take a name.
func valid(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	if last := name[len(name)-1]; last < '0' || last > '9' {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// broad reports whether a name is one below which everybody registers theirs, such as com or
// co.uk.
func broad(name string) bool {
	suffix, _ := publicsuffix.PublicSuffix(name)
	return suffix == name
}

// Merge makes one list of several: without names that are below another one of them, and without
// those that would block a name of ours. At most limit names are returned.
func Merge(lists [][]string, ours []string, limit int) (names []string, left Left) {
	left = Left{}
	all := slices.Concat(lists...)
	slices.Sort(all)
	all = slices.Compact(all)
	listed := func(name string) bool { _, ok := slices.BinarySearch(all, name); return ok }
	for _, name := range all {
		switch {
		case blocksOurs(name, ours):
			left[Ours]++
		case below(name, func(up string) bool { return listed(up) && !blocksOurs(up, ours) }):
		case len(names) >= limit:
			left[Many]++
		default:
			names = append(names, name)
		}
	}
	return names, left
}

// below reports whether a name is below one of which is is true.
func below(name string, is func(string) bool) bool {
	for {
		_, up, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		if is(up) {
			return true
		}
		name = up
	}
}

// blocksOurs reports whether blocking a name would block one of ours.
func blocksOurs(name string, ours []string) bool {
	return slices.ContainsFunc(ours, func(o string) bool { return o == name || strings.HasSuffix(o, "."+name) }) ||
		strings.HasSuffix(name, ".shelf") || strings.HasSuffix(name, ".local")
}
