package config

import (
	"strconv"
	"strings"
)

// SnapshotUnits are the words of storage.shares.NAME.snapshots, the shortest period first.
var SnapshotUnits = []string{"hourly", "daily", "weekly", "monthly"}

// SnapshotRule keeps a snapshot of each of the last Count periods.
type SnapshotRule struct {
	Unit  string // of SnapshotUnits
	Count int
}

// snapshotMost is how many snapshots one rule may keep: each is a subvolume and a mount.
const snapshotMost = 100

// SnapshotRuleOf reads one rule, such as `24 hourly`.
func SnapshotRuleOf(text string) (SnapshotRule, bool) {
	f := strings.Fields(text)
	if len(f) != 2 {
		return SnapshotRule{}, false
	}
	n, err := strconv.Atoi(f[0])
	return SnapshotRule{f[1], n}, err == nil && n >= 1 && n <= snapshotMost && contains(SnapshotUnits, f[1])
}

// SnapshotRules are the rules of a share that can be read.
func (s Share) SnapshotRules() []SnapshotRule { return snapshotRules(s.Snapshots) }

// Rules are the rules of storage.backup.keep that can be read; without any those of its reference.
func (b StorageBackup) Rules() []SnapshotRule {
	if rules := snapshotRules(b.Keep); len(rules) > 0 {
		return rules
	}
	return []SnapshotRule{{"daily", 14}, {"weekly", 8}, {"monthly", 12}}
}

func snapshotRules(texts []string) []SnapshotRule {
	var rules []SnapshotRule
	for _, text := range texts {
		if r, ok := SnapshotRuleOf(text); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// QuotaLeast is the least that a quota may be, in bytes: btrfs counts in blocks and trees.
const QuotaLeast = 16 << 20
