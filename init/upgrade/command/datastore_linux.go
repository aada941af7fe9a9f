package command

import (
	"context"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/k3s"
	"imgbuild/init/upgrade/datastore"
	"imgbuild/init/upgrade/install"
)

// datastore refuses a k3s that must not come to this node, and one that a server could not be
// brought back from. PID 1 decides the same again when the slot is armed.
func (o Options) datastore(ctx context.Context, m *bundle.Manifest, f install.Facts) error {
	if m.K3s == nil || m.K3s.Source == "none" || f.Armed {
		return nil
	}
	var unknown string
	var err error
	switch {
	case f.Role == k3s.Worker && m.K3s.Version != f.K3s:
		unknown, err = k3s.Change(ctx, o.Config, f.Role, m.K3s.Version).Judge()
	case f.Role == k3s.Server:
		var a datastore.Arming
		if a, err = datastore.Survey(ctx, o.Config, f.K3s, m.K3s.Version, o.Keep); err == nil {
			_, err = a.Decide()
		}
	}
	if unknown != "" && o.Note != nil {
		o.Note(unknown)
	}
	return err
}
