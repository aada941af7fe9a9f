// Package datastore keeps a server's datastore safe while another k3s is on trial: it is copied
// after k3s has stopped for the reboot into the trial, and it comes back with the system before if
// that trial never committed.
//
// What is decided is a function of facts, in this file; the effects are in the others.
package datastore

import (
	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"
)

// Kind is where a server has its datastore.
type Kind string

// The kinds.
const (
	None     Kind = "none"     // no data yet
	SQLite   Kind = "sqlite"   //
	Etcd     Kind = "etcd"     // of a cluster of one server
	Several  Kind = "several"  // etcd of several servers, or of a number that is not known
	External Kind = "external" // a database on another machine
)

// Arming is what is known when an upgrade of a server is about to be written.
type Arming struct {
	Kind     Kind
	From, To string // versions of k3s
	Keep     bool   // datastore=keep: go on although nothing can bring the datastore back
	Size     int64  // bytes of the datastore
	Free     int64  // bytes that its file system has
}

// Need is how much space a copy needs, in bytes: the datastore grows until k3s stops.
func (a Arming) Need() int64 { return a.Size + a.Size/4 + 32<<20 }

// Decide reports whether a copy has to be there before the trial's k3s starts, and why the upgrade
// must be refused. Nothing has been written yet.
func (a Arming) Decide() (copied bool, err error) {
	if _, err := (k3sstep.Change{From: a.From, To: a.To, Data: a.Kind != None}).Judge(); err != nil {
		return false, err
	}
	switch {
	case a.Kind == None || k3sstep.SameMinor(a.From, a.To):
		return false, nil // the system before reads what its own minor version has written
	case a.Keep:
		return false, nil
	case a.Kind == Several:
		return false, fault.New(fault.Input, "make a backup, and give datastore=keep: if the upgrade fails, this server does not start with k3s "+a.From+" again and has to join the others again",
			"k3s %s is another minor version than %s, and etcd of several servers cannot be brought back on one of them", a.To, a.From)
	case a.Kind == External:
		return false, fault.New(fault.Input, "make a backup of the database, and give datastore=keep: if the upgrade fails, you bring it back",
			"k3s %s is another minor version than %s, and the datastore is on another machine", a.To, a.From)
	case a.Free < a.Need():
		return false, fault.New(fault.Device, "remove what is not needed, or give datastore=keep to upgrade without a copy",
			"the copy of the datastore needs %d MiB, and there are %d MiB", a.Need()>>20+1, a.Free>>20)
	}
	return true, nil
}

// Plan is what was decided for one trial. It is noted before the trial is armed.
type Plan struct {
	Bundle string `json:"bundle"` // sha256 of the manifest of the trial's system, which names it
	Slot   string `json:"slot"`   // that it was written to
	From   string `json:"from"`   // k3s of the system before
	To     string `json:"to"`     // k3s of the trial
	Kind   Kind   `json:"kind"`
	Copy   bool   `json:"copy"`            // a copy has to be there before the trial's k3s starts
	Bring  bool   `json:"bring,omitempty"` // the trial gets the data of a backup, see Store.Bring
	Reset  string `json:"reset,omitempty"` // with Bring: the snapshot that etcd is made from, relative to k3s' data directory
}

// Crosses reports whether the plan's k3s is of another minor version than the one before: after the
// commit, the system before must not start any more.
func (p Plan) Crosses() bool { return p.Kind != None && !k3sstep.SameMinor(p.From, p.To) }

// Start is what is known before k3s starts.
type Start struct {
	Plan     *Plan  // nil: no trial has left one
	Bundle   string // names the system that runs
	Trial    bool   // the slot that runs is under trial
	Read     bool   // the boot record could be read
	Armed    bool   // the record has the plan's slot under trial
	State    string // the state of the plan's slot in the record
	Complete bool   // the copy is whole
	Started  bool   // k3s of the trial was started with the data
	Swapping bool   // the copy is being put back
}

// Action is what is done before k3s starts.
type Action uint8

// The actions.
const (
	Nothing Action = iota
	Copy           // copy the datastore, then Begin
	Begin          // note that the trial's k3s starts
	Restore        // put the copy back
	Drop           // the copy is not needed any more
	Aside          // nobody knows whether it is needed: it is kept, and not put back
)

// Decide reports what to do.
func (s Start) Decide() Action {
	p := s.Plan
	switch {
	case p == nil:
		return Nothing
	case s.Swapping:
		return Restore // it was decided, and a power cut came in between
	case s.Bundle == p.Bundle && s.Trial && s.Started:
		return Nothing
	case s.Bundle == p.Bundle && s.Trial && p.Copy && !s.Complete:
		return Copy
	case s.Bundle == p.Bundle && s.Trial:
		return Begin
	case s.Bundle == p.Bundle:
		return Drop // committed; the power failed before it was dropped
	case s.Read && s.Armed:
		return Nothing // it has not been tried yet
	case !s.Started:
		return Drop // the data are as this system left them
	case !p.Copy, !p.Crosses() && !p.Bring:
		return Drop
	case s.Read && s.State == bootstate.Bad && s.Complete:
		return Restore // a commit would have made this system's slot empty
	}
	return Aside
}
