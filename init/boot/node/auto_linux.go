package node

import (
	"context"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status"
	"imgbuild/init/supervise"
	"imgbuild/init/upgrade/auto"
)

// autoLimit ends a look, with the upgrade that follows, that does not come to an end.
const autoLimit = 6 * time.Hour

// UpgradeItself looks from time to time whether the node upgrades itself. It never returns, except
// where nothing is kept.
func (v *View) UpgradeItself() {
	if v.Layout.Degraded {
		return
	}
	t := v.Base.For("upgrade")
	auto.Keeper{
		Config: v.Config, Load: func() (auto.Memory, error) { return auto.Load(auto.Path) },
		Start: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, autoLimit)
			defer cancel()
			_, err := supervise.Run(ctx, supervise.Cmd("/usr/bin/shelf", "upgrade", "auto", "now"))
			return err
		},
		Failed: func(err error) {
			t.Report.Drop(t.Step)
			if err != nil {
				t.Problem(fault.Wrap(err, fault.Unhealthy, "see `sudo shelf upgrade status`", "the automatic upgrade failed and is tried again"))
			}
			v.SaveReport()
		},
	}.Run(context.Background())
}

// automatic is what was decided last about automatic upgrades; nil where there are none.
func (v *View) automatic() *status.Auto {
	if !v.Config().Upgrade.Auto || v.Layout.Degraded {
		return nil
	}
	m, err := auto.Load(auto.Path)
	switch {
	case err != nil:
		return &status.Auto{Text: err.Error()}
	case m.At.IsZero():
		return &status.Auto{Text: "not looked yet"}
	}
	return &status.Auto{Do: string(m.Decision.Do), Text: m.Decision.String(), Version: m.Decision.Version, At: m.At.UTC(), Failed: m.Failed}
}
