package serve

import (
	"context"
	"errors"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/snapshots"
	"imgbuild/init/supervise"
)

// snapshots makes, shows and drops the snapshots of the shares that have rules for them.
func (s *Server) snapshots(ctx context.Context, p shares.Plan, m shares.Mounts) error {
	var errs []error
	good, now := map[string]time.Time{}, time.Now()
	s.mu.Lock()
	before := s.good
	s.mu.Unlock()
	for _, sh := range p.Shares {
		dir, ok := m.Path(sh)
		rules := sh.SnapshotRules()
		if !ok || len(rules) == 0 {
			continue
		}
		disk := m[sh.Disk]
		err := snapshots.Share{Name: sh.Name, Disk: disk.At, Dir: dir, Rules: rules, ReadOnly: disk.ReadOnly}.Update(ctx, now, func() error { return s.flush(ctx) })
		errs = append(errs, err)
		if good[sh.Name] = before[sh.Name]; err == nil {
			good[sh.Name] = now
		}
	}
	s.mu.Lock()
	s.good = good
	s.mu.Unlock()
	return errors.Join(errs...)
}

// Next is when the next snapshot may be due; the zero time for never.
func (s *Server) Next(now time.Time) time.Time {
	var next time.Time
	for _, sh := range s.plan().Shares {
		if t := snapshots.Next(sh.SnapshotRules(), now); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// flush has the NFS server let go of the mounts that it knows, so that one of them can go.
func (s *Server) flush(ctx context.Context) error {
	if st, ok := s.Super.State(nfsd); !ok || !st.Ready {
		return nil
	}
	_, err := supervise.Run(ctx, supervise.Cmd("exportfs", "-f"))
	return fault.Wrap(err, fault.Internal, "", "the NFS server")
}
