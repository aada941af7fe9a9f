package diskmap

import "testing"

// What flashed cards have stands here a second time, so that a change of the table is noticed.
func TestFrozen(t *testing.T) {
	for name, c := range map[string]struct{ got, want int64 }{
		"Record0": {Record0, 4194304}, "Record1": {Record1, 12582912},
		"Boot": {Boot, 16777216}, "Spare": {Spare, 134217728}, "BootSize": {BootSize, 117440512},
		"SlotA": {SlotA, 251658240}, "SlotB": {SlotB, 922746880}, "SlotSize": {SlotSize, 671088640},
		"Data":     {Data, 1593835520},
		"TypeBoot": {TypeBoot, 12}, "TypeSlot": {TypeSlot, 28}, "TypeData": {TypeData, 131},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d, which flashed cards have", name, c.got, c.want)
		}
	}
	if DataLabel != "K3OS_STATE" {
		t.Errorf("got the label %q, want K3OS_STATE", DataLabel)
	}
}

// Areas that are written at different times never share what a card may lose at once, and none
// overlaps the next.
func TestApart(t *testing.T) {
	end := int64(0)
	for _, a := range []struct {
		name        string
		start, size int64
	}{{"MBR", 0, 512}, {"Record0", Record0, 512}, {"Record1", Record1, 512}, {"Boot", Boot, BootSize}, {"Spare", Spare, BootSize},
		{"SlotA", SlotA, SlotSize}, {"SlotB", SlotB, SlotSize}, {"Data", Data, Erase}} {
		if a.start%Erase != 0 || a.start < end {
			t.Errorf("%s starts at %d, want a multiple of %d that is not below %d", a.name, a.start, Erase, end)
		}
		end = a.start + a.size
	}
}
