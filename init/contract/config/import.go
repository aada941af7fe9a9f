package config

import (
	"bytes"
	"encoding/base64"
	"sort"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
)

// Imported is a configuration on its way from the boot partition, which any laptop reads, to the
// node's own data.
type Imported struct {
	Keep     []byte    // to keep on the node, 0600: whole, with the password hashed
	Blanked  []byte    // to be on the boot partition, as long as the original; nil when there is no secret to blank
	Layer    *Layer    // Keep, parsed
	Problems []Problem // of the original, then of the import
}

// Import takes a configuration over from the boot partition. previous is what an earlier Import
// kept of the same file, or nil: where the file has a blanked secret, the kept one is put back, for
// a wireless network by its name. A password in clear text is hashed with salt, 16 random bytes.
// The work is done on the text, so that comments and order stay.
//
// A file that is not YAML as a whole is not imported; the error is of kind fault.Input and the
// problems are given all the same. When only the blanking fails, Keep is good, Blanked is nil and a
// problem reports it.
func Import(file string, data, previous, salt []byte) (Imported, error) {
	var in Imported
	format := FormatOf(file)
	_, in.Problems = Parse(file, data)
	for _, p := range in.Problems {
		if p.Fatal {
			return in, fault.New(fault.Input, p.Fix, "%s is not imported: %s", file, p.String())
		}
	}
	tree, secrets := secretsOf(format, data)
	before, _ := secretsOf(format, previous)
	var found list
	var edits []edit
	src := newSource(data)
	for _, s := range secrets {
		at := (&decoder{file: file, lines: lineLengths(data)}).at(s.node)
		text := ""
		switch {
		case s.moved:
			old := kept(tree, before, s.path)
			if old == nil {
				continue // Merge reports it
			}
			text = old.text
		case s.path == "k3os.password" && s.node.Value != "" && !Hashed(s.node.Value):
			text = HashPassword(s.node.Value, salt)
		default:
			continue
		}
		whole, _, ok := src.scalar(s.node)
		if !ok {
			found.add(at, Error, s.path, "write it in quotes on the line of its key", "the value cannot be replaced in the text; it stays as it is")
			continue
		}
		written := strconv.Quote(text)
		if s.node.ShortTag() == "!!binary" { // the tag stays in the text
			written = base64.StdEncoding.EncodeToString([]byte(text))
		}
		edits = append(edits, edit{whole, written})
	}
	in.Keep = apply(data, edits)
	out, changed, err := Blank(format, data)
	if err != nil {
		found.add(place{file: file}, Warning, "", "", "secrets stay readable on the boot partition: %v", err)
	} else if changed {
		in.Blanked = out
	}
	var problems []Problem
	in.Layer, problems = Parse(file, in.Keep)
	for _, p := range problems {
		if p.Fatal {
			return in, fault.New(fault.Internal, "write the secrets in quotes on the line of their keys", "%s became unreadable when its secrets were put back: %s", file, p.String())
		}
	}
	in.Problems = append(in.Problems, found.sorted()...)
	return in, nil
}

// edit replaces a range of the text.
type edit struct {
	Span
	text string
}

func apply(data []byte, edits []edit) []byte {
	sort.Slice(edits, func(i, j int) bool { return edits[i].Start < edits[j].Start })
	var out bytes.Buffer
	from := 0
	for _, e := range edits {
		if e.Start < from { // an alias: the same scalar again
			continue
		}
		out.Write(data[from:e.Start])
		out.WriteString(e.text)
		from = e.End
	}
	out.Write(data[from:])
	return out.Bytes()
}

// kept returns the earlier text of a blanked secret, or nil.
func kept(now, before *value, path string) *value {
	parts := strings.Split(path, ".")
	if name, ok := strings.CutPrefix(path, "k3os.environment."); ok {
		parts = []string{"k3os", "environment", name}
	}
	for _, part := range parts {
		name, at, isItem := strings.Cut(part, "[")
		if now.get(part) != nil { // a name that has a bracket in it
			name, isItem = part, false
		}
		now, before = now.get(name), before.get(name)
		if isItem {
			i, _ := strconv.Atoi(strings.TrimSuffix(at, "]"))
			now, before = sameItem(now, before, i)
		}
		if before == nil {
			return nil
		}
	}
	if before.kind != scalar {
		return nil
	}
	return before
}

// sameItem returns item i of a list and its earlier self: that of the same name, because networks
// may have been added or put in another order on the laptop; of several the one in the same place.
func sameItem(now, before *value, i int) (*value, *value) {
	if now == nil || before == nil || i >= len(now.items) {
		return nil, nil
	}
	name := func(v *value) string {
		if n := v.get("name"); n != nil {
			return n.text
		}
		return ""
	}
	item := now.items[i]
	if i < len(before.items) && name(before.items[i]) == name(item) {
		return item, before.items[i]
	}
	for _, b := range before.items {
		if name(b) == name(item) {
			return item, b
		}
	}
	return item, nil
}
