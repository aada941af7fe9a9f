package backup

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Where backups keep what belongs to them, below a storage disk's .shelfos: the State on the first
// disk, the snapshots that transfers begin from on the disk of each share.
const (
	ownDir    = "backup"
	stateName = "state.json"
	snapsDir  = "from"
	lockFile  = "lock"
)

// State is what a node knows of its backups. It belongs to the data: a new card goes on with it.
type State struct {
	ID     string           `json:"id"` // what its directory is called at every place
	Places map[string]Place `json:"places,omitempty"`
}

// Place is where backups go, and how they went.
type Place struct {
	UUID   string `json:"uuid,omitempty"` // of the file system, of an enrolled disk
	Serial string `json:"serial,omitempty"`

	Bases map[string]string `json:"bases,omitempty"` // by share, the stream of the newest snapshot there
	Good  time.Time         `json:"good,omitzero"`   // when all shares were last there as they were then
	Tried time.Time         `json:"tried,omitzero"`
	Error string            `json:"error,omitempty"` // why the last attempt failed; empty after a good one
	Fails int               `json:"fails,omitempty"` // in a row
	Sent  int64             `json:"sent,omitempty"`  // bytes of the last good one
}

// Names are the places, sorted.
func (s State) Names() []string { return slices.Sorted(maps.Keys(s.Places)) }

// Bases are the streams of a share that some place begins from.
func (s State) Bases(share string) (streams []string) {
	for _, name := range s.Names() {
		if b := s.Places[name].Bases[share]; b != "" {
			streams = append(streams, b)
		}
	}
	return streams
}

// Load reads the state below the directory .shelfos of a disk; that of a node without backups is
// the zero value.
func Load(own string) (State, error) {
	var s State
	file := filepath.Join(own, ownDir, stateName)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, fault.Wrap(err, fault.Device, "remove it, and enroll the disks again; the next backups are whole ones", "the state of backups in %s", file)
}

// save writes the state.
func (s State) save(own string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(own, ownDir), 0o700); err != nil {
		return err
	}
	return fault.Wrap(atomicfile.Write(filepath.Join(own, ownDir, stateName), append(data, '\n'), 0o600), fault.Device, "", "the state of backups")
}

// without returns the state without servers that are not in the configuration any more.
func (s State) without(remote func(name string) bool) State {
	places := map[string]Place{}
	for name, p := range s.Places {
		if p.UUID != "" || remote(name) {
			places[name] = p
		}
	}
	s.Places = places
	return s
}

// with returns the state with one place changed; the zero Place is made where there is none.
func (s State) with(name string, change func(*Place)) State {
	p := s.Places[name]
	p.Bases = maps.Clone(p.Bases)
	change(&p)
	s.Places = maps.Clone(s.Places)
	if s.Places == nil {
		s.Places = map[string]Place{}
	}
	s.Places[name] = p
	return s
}

// newID makes the name of a node's directory at its places: its name for people, and what keeps two
// nodes of one name apart.
func newID(host string) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // does not fail
	return strings.ToLower(host) + "-" + hex.EncodeToString(b[:])
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
