package config

import (
	_ "embed"
	"strings"
	"sync"
)

// zones.txt has every name of the IANA time zone database, with its old names, which Debian keeps
// in a package of its own.
//
//go:embed zones.txt
var zoneNames string

var zones = sync.OnceValue(func() []string { return strings.Fields(zoneNames) })

// Zone returns the name of a time zone as the database writes it; "" for one that does not exist.
func Zone(name string) string {
	for _, z := range zones() {
		if strings.EqualFold(z, name) {
			return z
		}
	}
	return ""
}

func (k *checker) checkZone() {
	z := k.c.Time.Zone
	if z == "" || Zone(z) != "" {
		return
	}
	fix := "write it like Europe/Berlin"
	if near := NearestWord(z, zones()); near != "" {
		fix = "did you mean " + near + "?"
	}
	k.report(Error, "time.zone", fix, "%s is not the name of a time zone; the node stays in UTC", quote(z))
}
