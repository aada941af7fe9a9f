package datafs

import (
	"os"
	"path/filepath"
	"strings"
)

// Wired reports whether a cable is plugged into one of the machine's network cards, below sys. The
// rescue system has no other way in: the passphrases of wireless networks are on the data
// partition.
func Wired(sys string) bool {
	dirs, _ := filepath.Glob(filepath.Join(sys, "class/net/*"))
	for _, dir := range dirs {
		_, card := os.Stat(filepath.Join(dir, "device"))
		_, radio := os.Stat(filepath.Join(dir, "phy80211"))
		carrier, err := os.ReadFile(filepath.Join(dir, "carrier"))
		if card == nil && radio != nil && err == nil && strings.TrimSpace(string(carrier)) == "1" {
			return true
		}
	}
	return false
}
