package boards

import (
	"strings"
	"testing"
)

// TestGuarantees: what a node never writes is named, on the boards that have it and no others, and
// a board without a watchdog has a line on what a hang needs.
func TestGuarantees(t *testing.T) {
	for _, name := range Names() {
		b, f, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		var blobs, eeprom, hang *Guarantee
		for _, g := range b.Guarantees(f) {
			switch {
			case g.Failure == "" || g.Part == "":
				t.Errorf("%s: %+v lacks the part or what its failure means", name, g)
			case strings.HasPrefix(g.Part, "boot blobs"):
				blobs = &g
			case strings.HasPrefix(g.Part, "EEPROM"):
				eeprom = &g
			case strings.HasPrefix(g.Part, "a hang"):
				hang = &g
			}
		}
		for what, c := range map[string]struct {
			got  *Guarantee
			want bool
		}{"boot blobs": {blobs, len(f.Raw) > 0}, "an EEPROM": {eeprom, b.EEPROM}} {
			if (c.got != nil) != c.want {
				t.Errorf("%s: got a line for %s: %t, want %t", name, what, c.got != nil, c.want)
			}
			if c.got != nil && !strings.HasPrefix(c.got.Written, "never written by a node") {
				t.Errorf("%s: %s are written %q, want never written by a node", name, what, c.got.Written)
			}
		}
		if hang == nil || strings.Contains(hang.Failure, "power cycle") != (len(watchdogs(f)) == 0) {
			t.Errorf("%s: a hang: got %+v, its watchdogs are %v", name, hang, watchdogs(f))
		}
	}
	xu4, f, err := Get("odroid-xu4")
	if err != nil {
		t.Fatal(err)
	}
	if got := xu4.Guarantees(f)[1].Part; !strings.HasPrefix(got, "boot blobs in sectors 1 to ") {
		t.Errorf("odroid-xu4: got %q, want its boot blobs from sector 1 on", got)
	}
	if pi, _, err := Get("rpi4"); err != nil || !pi.EEPROM {
		t.Errorf("rpi4 without an EEPROM: %v", err)
	}
}
