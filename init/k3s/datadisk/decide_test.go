package datadisk

import (
	"strings"
	"testing"
)

func TestDecide(t *testing.T) {
	a, b := &Marker{"aa", "one"}, &Marker{"bb", "two"}
	for name, c := range map[string]struct {
		s    situation
		want action
		err  string // a part of it
	}{
		"the right disk":                           {situation{known: a, marker: a}, use, ""},
		"the right disk with files":                {situation{known: a, marker: a, local: true}, use, ""},
		"an empty disk, a new node":                {situation{empty: true}, begin, ""},
		"a disk of another life of this node":      {situation{marker: a}, adopt, ""},
		"another node's disk":                      {situation{known: a, marker: b}, refuse, "is the data disk of two"},
		"an empty disk instead of ours":            {situation{known: a, empty: true}, refuse, "is empty, but this node has its k3s data on another disk"},
		"a disk with photos":                       {situation{}, refuse, "nothing was touched"},
		"a disk with photos instead of ours":       {situation{known: a}, refuse, "nothing was touched"},
		"photos where data should move":            {situation{local: true, move: true}, refuse, "nothing was touched"},
		"data on the card":                         {situation{empty: true, local: true}, refuse, "shelf disk move"},
		"data on the card and on the disk":         {situation{marker: a, local: true}, refuse, "on the node's own disk and on"},
		"asked to move":                            {situation{empty: true, local: true, move: true}, carry, ""},
		"asked to move, again":                     {situation{empty: true, local: true, move: true, known: a}, carry, ""},
		"asked to move what is not there":          {situation{empty: true, move: true}, begin, ""},
		"data on the card, the disk lost":          {situation{empty: true, local: true, known: a}, refuse, "another disk"},
		"restored, an empty disk":                  {situation{empty: true, local: true, restored: a}, carry, ""},
		"restored, the move was cut":               {situation{empty: true, local: true, restored: a, known: b}, carry, ""},
		"restored, in use before it was put aside": {situation{marker: b, local: true, restored: a, known: b}, use, ""},
		"restored, the old disk":                   {situation{marker: a, local: true, restored: a}, use, ""},
		"restored, another node's disk":            {situation{marker: b, local: true, restored: a}, refuse, "an empty one: the data of the backup are moved there"},
		"restored, photos":                         {situation{local: true, restored: a}, refuse, "nothing was touched"},
	} {
		c.s.spec = "LABEL=x"
		got, err := c.s.decide()
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: %v has no fix", name, err)
		}
	}
}

func TestAbsence(t *testing.T) {
	a := &Marker{ID: "aa"}
	if what, err := (situation{}).absence(); what != stay || err != nil {
		t.Errorf("got %v, %v, want %v", what, err, stay)
	}
	if what, err := (situation{spec: "LABEL=x", known: a}).absence(); what != refuse || !IsAbsent(err) {
		t.Error(what, err)
	}
	if what, err := (situation{spec: "LABEL=x"}).absence(); what != refuse || !IsAbsent(err) {
		t.Error("a disk that was never seen is waited for as well", what, err)
	}
	// A node made from a backup: its data wait for a disk, or stay where they are when none is
	// named any more.
	if what, err := (situation{spec: "LABEL=x", restored: a, local: true}).absence(); what != refuse || !IsAbsent(err) || !strings.Contains(err.Error(), "data of the backup are moved there") {
		t.Error(what, err)
	}
	if what, err := (situation{restored: a, local: true}).absence(); what != stay || err != nil {
		t.Errorf("got %v, %v, want %v", what, err, stay)
	}
	// The key was taken out: the card must not begin an empty cluster.
	if what, err := (situation{known: a}).absence(); what != refuse || err == nil || IsAbsent(err) || !strings.Contains(err.Error(), "shelf disk forget") {
		t.Error(what, err)
	}
}

// Nothing but the right disk, or one that nobody has data next to, is ever used.
func TestNeverAnEmptyDatastore(t *testing.T) {
	a, b := &Marker{ID: "aa"}, &Marker{ID: "bb"}
	for _, known := range []*Marker{nil, a} {
		for _, restored := range []*Marker{nil, a} {
			for _, marker := range []*Marker{nil, a, b} {
				for bits := range 8 {
					s := situation{spec: "x", known: known, restored: restored, marker: marker, empty: bits&1 > 0, local: bits&2 > 0, move: bits&4 > 0}
					what, err := s.decide()
					if (what == refuse) != (err != nil) {
						t.Errorf("%+v: %v without a reason, or one with: %v", s, what, err)
					}
					if what == begin && (known != nil || marker != nil || s.local || !s.empty) {
						t.Errorf("%+v begins an empty cluster", s)
					}
					if what == carry && (!s.move && restored == nil || !s.empty || !s.local || marker != nil) {
						t.Errorf("%+v moves data", s)
					}
					if what == adopt && (known != nil || s.local) {
						t.Errorf("%+v takes a strange disk", s)
					}
					if what == use && (marker == nil || (known == nil || known.ID != marker.ID) && (known != nil || restored == nil || restored.ID != marker.ID)) {
						t.Errorf("%+v uses a strange disk", s)
					}
				}
			}
		}
	}
}
