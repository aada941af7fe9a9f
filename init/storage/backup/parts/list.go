// Package parts is the form of backups at a place that sees neither their content nor a file
// system: a stream in encrypted parts, and a signed list of them that is written last.
//
// A part is a file of the age format (age-encryption.org/v1) over at most Size bytes of the stream.
// The node has the public recipients alone: it cannot read what it wrote. The list is signed with a
// key whose public half is with the identity that decrypts, so that a place can neither change
// parts nor mix those of several backups.
package parts

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"imgbuild/init/contract/fault"
)

// Size is how many bytes of the stream are in a part.
const Size = 64 << 20

// Part is one part.
type Part struct {
	Size  int64  `json:"size"`            // bytes of the file
	Sum   string `json:"sum"`             // SHA-256 of the file, in hex digits
	Plain string `json:"plain,omitempty"` // SHA-256 of what is in it; in a journal alone
}

// List describes one backup.
type List struct {
	Node   string `json:"node"`
	Share  string `json:"share"`
	Name   string `json:"name"`           // of the snapshot
	Stream string `json:"stream"`         // its UUID, 32 hex digits
	Base   string `json:"base,omitempty"` // the name of the backup that it begins from; empty for a whole one
	Parts  []Part `json:"parts"`
}

// magic begins a signed list; a line with the signature in base64 and the list as JSON follow.
const magic = "shelf-backup-list 1\n"

// limits of a list that is read.
const (
	listMost  = 64 << 20
	partsMost = 1 << 20 // 64 TiB
)

// Sign returns the file of a list. key is the seed of an ed25519 key, 32 bytes.
func (l List) Sign(key []byte) ([]byte, error) {
	if len(key) != ed25519.SeedSize {
		return nil, fmt.Errorf("a signing key has %d bytes, not %d", ed25519.SeedSize, len(key))
	}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(key), append([]byte(magic), text...))
	return append([]byte(magic+base64.StdEncoding.EncodeToString(sig)+"\n"), text...), nil
}

// Open checks and reads the file of a list.
func Open(data []byte, signer ed25519.PublicKey) (List, error) {
	var l List
	bad := func(format string, args ...any) (List, error) {
		return List{}, fault.New(fault.Verify, "name the identity that imgbuild keygen backup made for this backup", format, args...)
	}
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	line, text, cut := bytes.Cut(rest, []byte("\n"))
	if !ok || !cut || len(data) > listMost {
		return bad("this is not a list of a backup's parts")
	}
	sig, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil || len(signer) != ed25519.PublicKeySize || !ed25519.Verify(signer, append([]byte(magic), text...), sig) {
		return bad("the list of a backup's parts is not signed by its node, or was changed")
	}
	if err := json.Unmarshal(text, &l); err != nil || len(l.Parts) == 0 || len(l.Parts) > partsMost {
		return bad("the list of a backup's parts cannot be read")
	}
	return l, nil
}

// ListName is the name of a list's file, and FileOf that of a part.
const ListName = "list"

// FileOf is the name of the file of a part, counted from 0.
func FileOf(i int) string { return fmt.Sprintf("%06d.age", i) }

// Missing are the parts of a list that a place does not have as they are listed, by the sizes of
// its files.
func Missing(list []Part, there map[string]int64) (missing []int) {
	for i, p := range list {
		if size, ok := there[FileOf(i)]; !ok || size != p.Size {
			missing = append(missing, i)
		}
	}
	return missing
}

// Chain returns the backups that lead to one, the whole one first. all are those of one share.
func Chain(all []List, name string) ([]List, error) {
	byName := map[string]List{}
	for _, l := range all {
		byName[l.Name] = l
	}
	var chain []List
	for at := name; at != ""; at = chain[0].Base {
		l, ok := byName[at]
		if !ok || len(chain) > len(all) {
			return nil, fault.New(fault.Verify, "choose another one", "the backup %s begins from %s, which is not there", name, at)
		}
		chain = append([]List{l}, chain...)
	}
	return chain, nil
}

// Surplus are the names of backups of a share that are in no chain worth keeping, oldest first: the
// newest chains stay, keep of them. all are whole ones and their increments; those that lead to no
// whole one go.
func Surplus(all []List, keep int) (names []string) {
	var wholes []string
	of := map[string]string{}
	for _, l := range sorted(all) {
		if l.Base == "" {
			wholes = append(wholes, l.Name)
		}
		if chain, err := Chain(all, l.Name); err == nil {
			of[l.Name] = chain[0].Name
		}
	}
	kept := map[string]bool{}
	for _, w := range wholes[max(0, len(wholes)-keep):] {
		kept[w] = true
	}
	for _, l := range sorted(all) {
		if !kept[of[l.Name]] {
			names = append(names, l.Name)
		}
	}
	return names
}
