// Package sbom writes what a system is made of as SPDX 2.3 (JSON): its packages, and every file
// with the package, the overlay or the program that it is from.
package sbom

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// Package is a Debian package.
type Package struct{ Name, Version, Arch, SHA256 string }

// File is a regular file. Origin is the name of a Package, or of what the builder itself adds.
type File struct{ Path, Origin, SHA1, SHA256 string }

// System is what is described.
type System struct {
	Name, Version string
	Program       string // sha256 of the program that runs as PID 1
	Date          time.Time
	Packages      []Package
	Files         []File
}

const none = "NOASSERTION"

// Write writes the document. The same system gives the same bytes.
func Write(w io.Writer, s System) error {
	root := spdx.ElementID("System")
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: s.Name + " " + s.Version,
		DocumentNamespace: "https://spdx.org/spdxdocs/" + url.PathEscape(s.Name+"-"+s.Version+"-"+s.Program),
		CreationInfo:      &v2_3.CreationInfo{Created: s.Date.UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: "imgbuild"}}},
	}
	add := func(id spdx.ElementID, name, version, sha256, purl string) {
		p := &v2_3.Package{PackageName: name, PackageSPDXIdentifier: id, PackageVersion: version, PackageDownloadLocation: none, PackageLicenseConcluded: none,
			PackageLicenseDeclared: none, PackageCopyrightText: none}
		if sha256 != "" {
			p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: sha256}}
		}
		if purl != "" {
			p.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: purl}}
		}
		doc.Packages = append(doc.Packages, p)
	}
	relate := func(a spdx.ElementID, kind string, b spdx.ElementID) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{RefA: common.MakeDocElementID("", string(a)), Relationship: kind, RefB: common.MakeDocElementID("", string(b))})
	}
	add(root, s.Name, s.Version, "", "")
	relate("DOCUMENT", common.TypeRelationshipDescribe, root)
	ids := map[string]spdx.ElementID{}
	for _, p := range s.Packages {
		id := spdx.ElementID("Package-" + safe(p.Name))
		ids[p.Name] = id
		add(id, p.Name, p.Version, p.SHA256, fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", url.PathEscape(p.Name), url.PathEscape(p.Version), p.Arch))
		relate(root, common.TypeRelationshipContains, id)
	}
	for _, origin := range origins(s.Files) {
		if ids[origin] != "" {
			continue
		}
		id := spdx.ElementID("Builder-" + safe(origin))
		ids[origin] = id
		add(id, origin, s.Version, "", "")
		relate(root, common.TypeRelationshipContains, id)
	}
	for i, f := range s.Files {
		id := spdx.ElementID(fmt.Sprintf("File-%d", i+1))
		doc.Files = append(doc.Files, &v2_3.File{FileName: "./" + f.Path, FileSPDXIdentifier: id, LicenseConcluded: none, LicenseInfoInFiles: []string{none}, FileCopyrightText: none,
			Checksums: []common.Checksum{{Algorithm: common.SHA1, Value: f.SHA1}, {Algorithm: common.SHA256, Value: f.SHA256}}})
		relate(ids[f.Origin], common.TypeRelationshipContains, id)
	}
	return json.Write(doc, w)
}

// origins are those of files, sorted, each once.
func origins(files []File) (list []string) {
	for _, f := range files {
		list = append(list, f.Origin)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// safe makes a part of an identifier, which has letters, digits, dots and dashes.
func safe(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-':
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, ".%x.", r)
		}
	}
	return b.String()
}
