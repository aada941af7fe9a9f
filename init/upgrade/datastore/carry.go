package datastore

import (
	"context"
	"errors"
)

// Carry carries out what is decided before k3s starts. An error means that k3s must not start.
func (s Store) Carry(ctx context.Context, st Start) error {
	switch st.Decide() {
	case Copy:
		if err := s.Copy(ctx, *st.Plan); err != nil {
			return err
		}
		return s.Begin(*st.Plan)
	case Begin:
		return s.Begin(*st.Plan)
	case Restore:
		return s.Restore(ctx, *st.Plan)
	case Drop:
		return s.Drop()
	case Aside:
		return s.Aside()
	}
	p := st.Plan
	if p == nil {
		return errors.Join(s.Drop(), s.Unstage()) // what a power cut left of an earlier one
	}
	if p.Bring && st.Started && st.Trial && st.Bundle == p.Bundle {
		return s.Bring(*p) // a power cut came in between
	}
	return nil
}

// Leave copies the datastore for the trial that the reboot leads to, if its plan requires it. k3s
// has stopped. An error means that the trial must not be tried.
func (s Store) Leave(ctx context.Context) error {
	p, err := s.Plan()
	if err != nil || p == nil || !p.Copy {
		return err
	}
	return s.Copy(ctx, *p)
}

// Crossed reports whether the commit of a system crosses a minor version of k3s: the system before
// must not start on its data any more.
func (s Store) Crossed(bundle string) (bool, error) {
	p, err := s.Plan()
	return err == nil && p != nil && p.Bundle == bundle && p.Crosses(), err
}

// Committed drops the copy of a trial that was committed.
func (s Store) Committed(bundle string) error {
	p, err := s.Plan()
	if err != nil || p == nil || p.Bundle != bundle {
		return err
	}
	return s.Drop()
}
