package image

import (
	"crypto/sha1" // the sum that SPDX 2.3 asks for; nothing relies on it
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"
	"strings"
	"time"

	"imgbuild/builder/sbom"
	"imgbuild/builder/tree"
)

// sbomSuffix is the ending of the list of contents.
const sbomSuffix = ".spdx.json"

// writeContents writes the SPDX document of a slot: the packages, and every file of the root file
// system, of BOOT's and the slot's own parts and the init with where it is from.
func (b *build) writeContents(w io.Writer, k *kernel, init []byte) error {
	s := sbom.System{Name: b.Recipe.Family.Name + "-" + b.Recipe.Slot.Name, Version: b.version, Program: b.Recipe.Init, Date: time.Unix(int64(b.date()), 0)}
	for _, p := range b.Recipe.Lock.Packages {
		s.Packages = append(s.Packages, sbom.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, SHA256: p.SHA256})
	}
	add := func(path, origin string, c tree.Content) error {
		in, err := c.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		one, two := sha1.New(), sha256.New()
		if _, err := io.Copy(io.MultiWriter(one, two), in); err != nil {
			return err
		}
		s.Files = append(s.Files, sbom.File{Path: path, Origin: origin, SHA1: hex.EncodeToString(one.Sum(nil)), SHA256: hex.EncodeToString(two.Sum(nil))})
		return nil
	}
	for _, n := range b.usr.Nodes() {
		if n.Kind != tree.File || n.HardLink != "" {
			continue
		}
		if err := add("usr/"+n.Path, b.originOf(n, k), n.Content); err != nil {
			return err
		}
	}
	for _, from := range b.bootFiles(k.dtbDir) {
		if n := k.boot[from]; n != nil {
			if err := add("boot/"+from, n.Origin, n.Content); err != nil {
				return err
			}
		}
	}
	if err := add("initramfs/init", "imgbuild", tree.Bytes(init)); err != nil {
		return err
	}
	return sbom.Write(w, s)
}

// originOf is the package, the overlay or the program that a file of the root is from. The modules
// come out of a cache of their own; the indexes next to them are the builder's.
func (b *build) originOf(n *tree.Node, k *kernel) string {
	if n.Origin != "kernel "+k.release {
		return n.Origin
	}
	if strings.HasPrefix(path.Base(n.Path), "modules.") {
		return "imgbuild"
	}
	for _, prefix := range []string{"linux-modules-", "linux-image-"} {
		for _, p := range b.Recipe.Lock.Packages {
			if strings.HasPrefix(p.Name, prefix+k.release) {
				return p.Name
			}
		}
	}
	return n.Origin
}
