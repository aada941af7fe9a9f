package upgrades

// The verbs by which upgrades go through PID 1's control socket.
const (
	History  = "upgrade-history"
	Facts    = "upgrade-facts"
	Forget   = "upgrade-forget"   // slot
	Arm      = "upgrade-arm"      // attempt, JSON of a ledger.Attempt
	Commit   = "upgrade-commit"   // the trial that runs
	Rollback = "upgrade-rollback" // returns Back
	Hold     = "upgrade-hold"     // seconds
)

// Back reports what a rollback did.
type Back struct {
	What    string `json:"what"`              // withdrawn, trial, switched
	Version string `json:"version,omitempty"` // that was taken back
	Slot    string `json:"slot"`              // that boots next
	Reboot  bool   `json:"reboot"`            // the node reboots now
}
