package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"imgbuild/boards"
	"imgbuild/images"
	"imgbuild/init/contract/manifest"
)

// Carried is what imgbuild carries itself and puts into every slot, as hashes in hex.
type Carried struct {
	Init  string `json:"init_sha256"`  // PID 1
	Shelf string `json:"shelf_sha256"` // the command of the node
	Data  string `json:"data_sha256"`  // of overlays, lists and scripts
}

type ready struct {
	locked
	K3s K3s `json:"k3s"`
	Carried
}

// Ready is a recipe in which nothing is undecided. It has the fields of Parts, the Lock, K3s and
// Carried.
type Ready struct {
	ready
	hash string
	grew bool
}

// Planned is what Ready would be as far as that is known without the network. It has the same
// fields.
type Planned struct{ ready }

// newReady is the only way to a recipe with a hash.
func newReady(r ready, grew bool) (*Ready, error) {
	hash, err := r.sum()
	return &Ready{r, hash, grew}, err
}

// Hash is over all that reaches the slot, in hex.
func (r *Ready) Hash() string { return r.hash }

// Version is the lock's date and 8 hex digits of the hash: 20261122-0badc0de.
func (r *Ready) Version() string { return r.Lock.Date + "-" + r.hash[:8] }

// Grew reports whether the lock has got a release of k3s that is in no file yet.
func (r *Ready) Grew() bool { return r.grew }

// sum is the hash over all that reaches the slot: never over board, role or config, which one slot
// serves several of.
func (r *ready) sum() (string, error) {
	data, err := json.Marshal(struct {
		Family *boards.Family
		Slot   *images.Slot
		Base   *images.Base
		Extra  []string
		K3s    K3s
		Init   string
		Shelf  string
		Data   string
		Lock   []byte
		Health map[string]manifest.Health
		Memory int64
	}{r.Family, r.Slot, r.Base, r.Extra, r.K3s.slotPart(), r.Init, r.Shelf, r.Data, r.Lock.Marshal(), r.Health(), r.MinMemory()})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
