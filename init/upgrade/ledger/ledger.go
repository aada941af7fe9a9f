// Package ledger is what a node remembers about its upgrades, in one file on the data partition:
// the attempt that is under way, how earlier ones ended, and the security floor. PID 1 is its only
// writer.
//
// The boot record alone decides what boots. A ledger that is lost costs the reasons, the floor and
// the comparison with the system before; never a slot.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/status/health"
)

// Path is the file of the ledger.
const Path = "/var/lib/shelf/upgrade/ledger.json"

// Most is how many ended attempts are kept, the newest ones.
const Most = 32

// Result is how an attempt ended.
type Result string

// The results. An attempt that has not ended has none.
const (
	Committed  Result = "committed"
	RolledBack Result = "rolled back"
	Withdrawn  Result = "withdrawn" // armed, and taken back before it was tried
)

// Blame reports whether the new system is to blame for a rollback.
type Blame string

// The kinds of blame. Open: the system before has not shown yet whether it passes the same checks.
const (
	Open     Blame = "open"
	Own      Blame = "own"
	External Blame = "external" // the system before fails the same checks too: it may be tried once more
)

// System is what an upgrade brings.
type System struct {
	Bundle  string `json:"bundle"` // sha256 of its slot's manifest.json, which names it
	Version string `json:"version"`
	Floor   int64  `json:"floor"`
	K3s     string `json:"k3s,omitempty"` // version
}

// Attempt is one upgrade, from arming on.
type Attempt struct {
	System
	Slot    string    `json:"slot"`                     // a or b, that it was written to
	From    string    `json:"from"`                     // version of the system before
	FromK3s string    `json:"from_k3s,omitempty"`       // version of its k3s
	Source  string    `json:"source,omitempty"`         // ssh, file, ...
	Keep    bool      `json:"keep_datastore,omitempty"` // go on although nothing can bring the datastore back
	Armed   time.Time `json:"armed"`

	Restore *Restore `json:"restore,omitempty"` // the data of a backup come with it: a rollback

	Before  []string `json:"before"`            // checks that passed in the hour before arming
	Refused []string `json:"refused,omitempty"` // keys of the configuration that were refused then

	Result Result          `json:"result,omitempty"`
	Ended  time.Time       `json:"ended,omitzero"`
	Reason string          `json:"reason,omitempty"` // why it was rolled back, or what committed it
	Judged []health.Result `json:"judged,omitempty"` // the checks of the trial, as they were at its end
	Failed []string        `json:"failed,omitempty"` // those of them that ended it
	Blame  Blame           `json:"blame,omitempty"`  // of a rollback
}

// Restore names the backup of a server that a system starts with.
type Restore struct {
	Name  string `json:"name"`            // of its file
	K3s   string `json:"k3s,omitempty"`   // whose data they are
	Reset string `json:"reset,omitempty"` // the snapshot that etcd is made from, relative to k3s' data directory
}

// Ledger is the content of the file.
type Ledger struct {
	Floor   int64     `json:"floor"` // security floor of what was committed
	Attempt *Attempt  `json:"attempt,omitempty"`
	History []Attempt `json:"history,omitempty"` // oldest first
}

// Load reads a ledger. One that is missing is empty; for one that cannot be read it returns an
// error and an empty one.
func Load(path string) (*Ledger, error) {
	l := &Ledger{}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err == nil:
		if err = json.Unmarshal(data, l); err == nil {
			l.History = l.History[max(0, len(l.History)-Most):]
			return l, nil
		}
	}
	return &Ledger{}, fault.Wrap(err, fault.Device, "the node goes on without it; earlier upgrades are not known any more", "the history of upgrades %s", path)
}

// Save writes a ledger so that it is there whole, old or new, at every moment.
func (l *Ledger) Save(path string) error {
	data, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return fmt.Errorf("history of upgrades: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("history of upgrades: %w", err)
	}
	err = atomicfile.Write(path, append(data, '\n'), 0o600)
	return fault.Wrap(err, fault.Device, "look whether the data partition is full", "the history of upgrades")
}

// End moves the attempt to the history. A commit raises the floor. Without an attempt nothing
// happens.
func (l *Ledger) End(result Result, reason string, now time.Time) {
	a := l.Attempt
	if a == nil {
		return
	}
	a.Result, a.Ended = result, now.UTC()
	if reason != "" {
		a.Reason = reason
	}
	switch result {
	case Committed:
		l.Floor = max(l.Floor, a.Floor)
	case RolledBack:
		if a.Blame = Own; len(a.Failed) > 0 {
			a.Blame = Open
		}
	}
	l.History, l.Attempt = append(l.History, *a), nil
	l.History = l.History[max(0, len(l.History)-Most):]
}

// Last is the newest attempt, under way or ended; nil for none.
func (l *Ledger) Last() *Attempt {
	if l.Attempt != nil {
		return l.Attempt
	}
	if n := len(l.History); n > 0 {
		return &l.History[n-1]
	}
	return nil
}

// Refuse returns why a bundle must not be tried again, though it was signed: it was rolled back,
// and not for something from outside, or twice. nil if it may be.
func (l *Ledger) Refuse(bundle string) error {
	external := 0
	for _, a := range slices.Backward(l.History) {
		if a.Bundle != bundle {
			continue
		}
		if a.Result == Committed {
			return nil // it has worked since
		}
		if a.Result != RolledBack {
			continue
		}
		switch a.Blame {
		case Open:
			return fault.New(fault.Unhealthy, "try again in some minutes; force=yes does it now", "%s was rolled back (%s), and the node does not know yet whether the system before passes the same checks", a.Version, a.Reason)
		case External:
			if external++; external < 2 {
				continue
			}
		}
		return fault.New(fault.Unhealthy, "take a newer one; force=yes tries it again", "%s was rolled back here on %s: %s", a.Version, a.Ended.Format(time.DateOnly), a.Reason)
	}
	return nil
}
