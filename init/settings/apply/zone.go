package apply

import (
	"bufio"
	"errors"
	"os"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

const zoneDir = "/usr/share/zoneinfo"

// Zone sets the time zone of programs that ask for the local time. Old names such as US/Eastern
// have no file in Debian 13's tzdata; its tzdata.zi has their names of today.
func (m Machine) Zone(zone string) error {
	if zone == "" || zone == "UTC" { // what programs take without any setting
		return errors.Join(remove(m.path("/etc/localtime")), remove(m.path("/etc/timezone")))
	}
	name := config.Zone(zone)
	if name != "" && !m.hasZone(name) {
		name = m.zoneLink(name)
	}
	if name == "" || !m.hasZone(name) {
		return fault.New(fault.Input, "leave time.zone out: logs are in UTC", "this image does not know the time zone in time.zone")
	}
	return errors.Join(mount.Do(mount.Symlink{Path: m.path("/etc/localtime"), Target: ".." + zoneDir + "/" + name}), m.write("/etc/timezone", name+"\n", 0o644))
}

func (m Machine) hasZone(name string) bool {
	st, err := os.Stat(m.path(zoneDir + "/" + name))
	return err == nil && st.Mode().IsRegular()
}

// zoneLink returns the zone that a name is a link to, by the lines "L TARGET NAME" of tzdata.zi; ""
// if there is none.
func (m Machine) zoneLink(name string) string {
	f, err := os.Open(m.path(zoneDir + "/tzdata.zi"))
	if err != nil {
		return ""
	}
	defer f.Close()
	links := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) == 3 && w[0] == "L" {
			links[w[2]] = w[1]
		}
	}
	for range 4 { // a link may lead to another one
		if name = links[name]; name == "" || m.hasZone(name) {
			return name
		}
	}
	return ""
}
