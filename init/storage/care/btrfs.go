// Package care looks after btrfs file systems that are in use: scrub every month and by order,
// redundancy after a disk was missing, balance, and a disk in the place of another. What is due is
// decided by pure functions; Keeper runs one thing at a time for each disk.
package care

import (
	"slices"
	"strconv"
	"strings"
)

// Scrub is how a scrub ended.
type Scrub struct {
	Corrected     int `json:"corrected"`     // blocks that were bad and were written again from a good copy
	Uncorrectable int `json:"uncorrectable"` // blocks of which no good copy was left
	Read          int `json:"read"`          // errors in reading
	Checksum      int `json:"checksum"`      // blocks with a wrong checksum
}

// Good means that it found nothing that is lost.
func (s Scrub) Good() bool { return s.Uncorrectable == 0 }

// ParseScrub reads what `btrfs scrub start -B -R` prints at its end. false: it holds no counts.
func ParseScrub(out string) (Scrub, bool) {
	var s Scrub
	found := 0
	for line := range strings.Lines(out) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if !ok || err != nil {
			continue
		}
		to := map[string]*int{"corrected_errors": &s.Corrected, "uncorrectable_errors": &s.Uncorrectable, "read_errors": &s.Read, "csum_errors": &s.Checksum}[name]
		if to != nil {
			*to += n
			found++
		}
	}
	return s, found >= 4
}

// Chunks is one line of `btrfs filesystem df -b`: space given to a kind of block in a profile.
type Chunks struct {
	Kind    string // Data, Metadata, System
	Profile string // single, DUP, RAID1, ...
	Total   uint64 // bytes
	Used    uint64
}

// ParseChunks reads `btrfs filesystem df -b`. The kernel's own reserve is left out.
func ParseChunks(out string) []Chunks {
	var list []Chunks
	for line := range strings.Lines(out) {
		head, tail, ok := strings.Cut(strings.TrimSpace(line), ": total=")
		kind, profile, ok2 := strings.Cut(head, ", ")
		total, used, ok3 := strings.Cut(tail, ", used=")
		if !ok || !ok2 || !ok3 || kind == "GlobalReserve" {
			continue
		}
		t, err := strconv.ParseUint(total, 10, 64)
		u, err2 := strconv.ParseUint(used, 10, 64)
		if err == nil && err2 == nil {
			list = append(list, Chunks{kind, profile, t, u})
		}
	}
	return list
}

// redundant are the profiles that keep blocks on more than one disk, the safest one first.
var redundant = []string{"RAID1C4", "RAID1C3", "RAID1", "RAID10", "RAID6", "RAID5"}

// Leftovers returns the arguments of the balance that makes redundant what was written while a disk
// was missing. Only a kind of which a part is redundant has leftovers: a file system that was made
// with single data on purpose has none. Empty: there is nothing to convert.
func Leftovers(list []Chunks) (convert []string) {
	for _, kind := range []struct{ name, flag string }{{"Data", "-dconvert="}, {"Metadata", "-mconvert="}} {
		to, rest := "", false
		for _, p := range redundant {
			if to == "" && slices.ContainsFunc(list, func(c Chunks) bool { return of(c.Kind, kind.name) && c.Profile == p }) {
				to = strings.ToLower(p)
			}
		}
		for _, c := range list {
			rest = rest || of(c.Kind, kind.name) && (c.Profile == "single" || c.Profile == "DUP")
		}
		if to != "" && rest {
			convert = append(convert, kind.flag+to+",soft")
		}
	}
	return convert
}

// of reports whether chunks are converted with a kind: those of the system with the metadata.
func of(kind, with string) bool { return kind == with || kind == "System" && with == "Metadata" }
