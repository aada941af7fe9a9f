package sbom

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// The document is read back by the library of SPDX, and every file belongs to what it is from.
func TestWrite(t *testing.T) {
	s := System{Name: "rpi64-k3s", Version: "20260101-0badc0de", Program: "aa", Date: time.Unix(1767225600, 0),
		Packages: []Package{{"libstdc++6", "14.2.0-19", "arm64", "bb"}, {"bash", "5.2.37-2+b5", "arm64", "cc"}},
		Files:    []File{{"usr/bin/bash", "bash", "01", "02"}, {"usr/bin/shelf", "imgbuild", "03", "04"}, {"usr/lib/libstdc++.so.6", "libstdc++6", "05", "06"}, {"usr/share/etc/motd", "overlays/base", "07", "08"}}}
	var one, two bytes.Buffer
	if err := Write(&one, s); err != nil {
		t.Fatal(err)
	}
	if err := Write(&two, s); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("the same system gives two documents: %v", err)
	}
	doc, err := json.Read(&one)
	if err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || len(doc.Packages) != 5 || len(doc.Files) != 4 || doc.CreationInfo.Created != "2026-01-01T00:00:00Z" {
		t.Errorf("got %s with %d packages and %d files of %s", doc.SPDXVersion, len(doc.Packages), len(doc.Files), doc.CreationInfo.Created)
	}
	names, ids := map[spdx.ElementID]string{}, []spdx.ElementID{}
	for _, p := range doc.Packages {
		names[p.PackageSPDXIdentifier] = p.PackageName
		ids = append(ids, p.PackageSPDXIdentifier)
	}
	owner := map[spdx.ElementID]string{}
	for _, r := range doc.Relationships {
		if r.Relationship == common.TypeRelationshipContains {
			owner[r.RefB.ElementRefID] = names[r.RefA.ElementRefID]
		}
	}
	for i, f := range doc.Files {
		if got := owner[f.FileSPDXIdentifier]; got != s.Files[i].Origin || f.FileName != "./"+s.Files[i].Path {
			t.Errorf("%s is from %q, want %s from %s", f.FileName, got, s.Files[i].Path, s.Files[i].Origin)
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != len(doc.Packages) {
		t.Errorf("two packages have one identifier: %v", ids)
	}
}
