package care

import (
	"slices"
	"testing"
)

func TestParseScrub(t *testing.T) {
	const out = `scrub done for 7f0f5b4f-5c1c-4f0e-a1d3-5f0c7d1c2c11
Scrub started:    Mon Nov 30 17:00:00 2026
Status:           finished
Duration:         0:00:01
	data_extents_scrubbed: 20
	tree_extents_scrubbed: 12
	read_errors: 1
	csum_errors: 28
	verify_errors: 0
	super_errors: 0
	uncorrectable_errors: 2
	unverified_errors: 0
	corrected_errors: 26
	last_physical: 500
`
	got, ok := ParseScrub(out)
	if want := (Scrub{Corrected: 26, Uncorrectable: 2, Read: 1, Checksum: 28}); !ok || got != want || got.Good() {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "ERROR: not a mount point", "corrected_errors: 1"} {
		if got, ok := ParseScrub(bad); ok {
			t.Errorf("%q: got %+v, want none", bad, got)
		}
	}
}

// What was written while a disk was missing is converted, and nothing that was meant to be so.
func TestLeftovers(t *testing.T) {
	for name, c := range map[string]struct {
		df   string
		want []string
	}{
		"whole": {"Data, RAID1: total=1073741824, used=1\nSystem, RAID1: total=8388608, used=1\nMetadata, RAID1: total=1, used=1\nGlobalReserve, single: total=1, used=0\n", nil},
		"written while one was missing": {"Data, RAID1: total=1073741824, used=1\nData, single: total=335544320, used=1\nSystem, single: total=33554432, used=1\n" +
			"System, RAID1: total=8388608, used=1\nMetadata, RAID1: total=1, used=1\nMetadata, single: total=1, used=1\n", []string{"-dconvert=raid1,soft", "-mconvert=raid1,soft"}},
		"DUP metadata":             {"Data, RAID1: total=1, used=1\nMetadata, RAID1: total=1, used=1\nMetadata, DUP: total=1, used=1\n", []string{"-mconvert=raid1,soft"}},
		"only the system's":        {"Data, RAID1: total=1, used=1\nSystem, single: total=1, used=1\nMetadata, RAID1: total=1, used=1\n", []string{"-mconvert=raid1,soft"}},
		"one disk":                 {"Data, single: total=1, used=1\nSystem, DUP: total=1, used=1\nMetadata, DUP: total=1, used=1\n", nil},
		"single data on purpose":   {"Data, single: total=1, used=1\nSystem, RAID1: total=1, used=1\nMetadata, RAID1: total=1, used=1\n", nil},
		"three copies of metadata": {"Data, RAID1: total=1, used=1\nMetadata, RAID1C3: total=1, used=1\nMetadata, single: total=1, used=1\n", []string{"-mconvert=raid1c3,soft"}},
		"nothing":                  {"", nil},
	} {
		if got := Leftovers(ParseChunks(c.df)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
