package shares

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// What cannot work is named with a way to correct it and is left out; the share good is served in
// each case.
func TestBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *config.Storage, add func(name string, sh config.Share))
		fault  string // part of what is reported
		served []string
	}{
		"a bad hash": {func(s *config.Storage, _ func(string, config.Share)) {
			s.Users["bob"] = config.StorageUser{UID: 1501, PasswordHash: "$6$cut"}
		}, "is not a crypt(5) hash", []string{"good"}},
		"a bad NT hash": {func(s *config.Storage, _ func(string, config.Share)) {
			s.Users["bob"] = config.StorageUser{UID: 1501, SMBNTHash: "8846"}
		}, "an NT hash has 32 hex digits", []string{"good"}},
		"names that differ in case": {func(s *config.Storage, add func(string, config.Share)) { add("Good", config.Share{Path: "x"}) }, "SMB does not distinguish it", []string{"Good"}},
		"two shares, one directory": {func(s *config.Storage, add func(string, config.Share)) { add("second", config.Share{Path: "good"}) }, "overlaps the share \"good\"", []string{"good"}},
		"one share in another": {func(s *config.Storage, add func(string, config.Share)) {
			add("inner", config.Share{Path: "good/inner"})
		}, "overlaps the share \"good\"", []string{"good"}},
		"outside any disk":     {func(s *config.Storage, add func(string, config.Share)) { add("out", config.Share{Path: "../etc"}) }, "does not stay on its disk", []string{"good"}},
		"the root of the node": {func(s *config.Storage, add func(string, config.Share)) { add("out", config.Share{Path: "/etc"}) }, "is not below a disk", []string{"good"}},
		"no such disk":         {func(s *config.Storage, add func(string, config.Share)) { add("out", config.Share{Disk: "none"}) }, "there is no disk", []string{"good"}},
		"no such user": {func(s *config.Storage, add func(string, config.Share)) {
			add("x", config.Share{Write: []string{"eve"}})
		}, "there is no user \"eve\"", []string{"good"}},
		"a user without a password": {func(s *config.Storage, add func(string, config.Share)) {
			s.Users["bob"] = config.StorageUser{UID: 1501}
			add("x", config.Share{Write: []string{"bob"}})
		}, "has no password for SMB", []string{"good", "x"}},
		"a disk twice": {func(s *config.Storage, add func(string, config.Share)) {
			s.Disks = append(s.Disks, config.StorageDisk{Name: "more", Device: "LABEL=media"})
			add("x", config.Share{Disk: "more"})
		}, "is also the disk data", []string{"good"}},
	} {
		s := config.Storage{
			Disks:  []config.StorageDisk{{Name: "data", Device: "LABEL=media"}},
			Users:  map[string]config.StorageUser{"ann": {UID: 1500, PasswordHash: crypted, SMBNTHash: nt}},
			Shares: map[string]config.Share{"good": {Write: []string{"ann"}, Via: []string{"smb"}}},
		}
		c.change(&s, func(name string, sh config.Share) {
			sh.Via = []string{"smb"}
			s.Shares[name] = sh
		})
		p := Make(s)
		var served []string
		for _, sh := range p.Shares {
			served = append(served, sh.Name)
		}
		if !slices.Equal(served, c.served) {
			t.Errorf("%s: served %q, want %q", name, served, c.served)
		}
		if conf := p.Samba("nas", mounts); !strings.Contains(strings.ToLower(conf), "[good]") {
			t.Errorf("%s: SMB does not serve the good one:\n%s", name, conf)
		}
		faults := s.Faults()
		i := slices.IndexFunc(faults, func(f config.StorageFault) bool { return strings.Contains(f.Text, c.fault) })
		if i < 0 || faults[i].Fix == "" || !strings.HasPrefix(faults[i].Path, "storage.") {
			t.Errorf("%s: reported %s, want %q with a fix", name, fmt.Sprint(faults), c.fault)
		}
	}
}
