// Package damage remembers which blocks of the slots were found not to be what was built. It keeps
// two of each slot, which is all that a decision needs: a card that fails would fill any list.
package damage

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"imgbuild/init/contract/atomicfile"
)

// Path is where it is kept.
const Path = "/var/lib/shelf/damage.json"

// Most is how many blocks of a slot are kept.
const Most = 2

// again is how long a block that was found before stays the same finding: one access to it makes
// the kernel read it several times.
const again = time.Minute

// Block is one that was found.
type Block struct {
	Block string    `json:"block"`
	At    time.Time `json:"at"`
}

// slot is what is known of one.
type slot struct {
	System string  `json:"system"` // version of the system that is in it
	Blocks []Block `json:"blocks"`
}

// notes is the content of the file.
type notes struct {
	Slots    map[string]slot `json:"slots"`
	Rebooted time.Time       `json:"rebooted,omitzero"` // last for this reason
}

// Book is what a node remembers. The zero value remembers in memory; blocks may be found before the
// data partition is there. All methods may be called from any goroutine.
type Book struct {
	mu     sync.Mutex
	path   string
	slot   string
	system string
	found  []Block // in this boot
	notes  notes
}

// Open reads the file of the running system in its slot, and adds what was found before it was
// there.
func (b *Book) Open(path, running, system string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.path, b.slot, b.system = path, running, system
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &b.notes)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		b.notes = notes{}
	}
	if len(b.found) == 0 {
		return err
	}
	for _, f := range b.found {
		b.add(f)
	}
	return errors.Join(err, b.save())
}

// Add notes a block that was found. counts is false for the same finding as before.
func (b *Book) Add(block string, now time.Time) (counts bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.found {
		if since := now.Sub(f.At); f.Block == block && since < again && since >= 0 {
			return false, nil
		}
	}
	f := Block{block, now}
	b.found = append(b.found, f)
	b.found = b.found[max(0, len(b.found)-Most):]
	if b.path == "" || !b.add(f) {
		return true, nil
	}
	return true, b.save()
}

// add puts a block into the notes; false if they are full already.
func (b *Book) add(f Block) bool {
	if b.notes.Slots == nil {
		b.notes.Slots = map[string]slot{}
	}
	s := b.notes.Slots[b.slot]
	if s.System != b.system { // findings of an earlier system do not count
		s = slot{System: b.system}
	}
	if len(s.Blocks) >= Most {
		return false
	}
	s.Blocks = append(s.Blocks, f)
	b.notes.Slots[b.slot] = s
	return true
}

func (b *Book) save() error {
	data, err := json.Marshal(b.notes)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteAs(b.path, append(data, '\n'), 0o600, os.Getuid(), os.Getgid())
}

// Known is how many blocks were found of the running slot and of the other one, and how long ago
// the node rebooted for that; ever is false if it never did.
func (b *Book) Known(other string, now time.Time) (here, there int, since time.Duration, ever bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	here = len(b.found)
	if s := b.notes.Slots[b.slot]; s.System == b.system {
		here = max(here, len(s.Blocks))
	}
	return here, len(b.notes.Slots[other].Blocks), now.Sub(b.notes.Rebooted), !b.notes.Rebooted.IsZero()
}

// Rebooting notes that the node is about to reboot for this reason. It must be noted: an error
// means that it must not reboot.
func (b *Book) Rebooting(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.path == "" {
		return errors.New("the data partition is not in use")
	}
	b.notes.Rebooted = now.UTC()
	return b.save()
}

// Forget drops what is known of a slot: another system is written to it.
func (b *Book) Forget(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.notes.Slots[name]; !known || b.path == "" {
		return nil
	}
	delete(b.notes.Slots, name)
	return b.save()
}
