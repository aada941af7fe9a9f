package network

import (
	"testing"

	"golang.org/x/sys/unix"

	"imgbuild/init/contract/config"
)

// TestLocal: the link-local address of IPv6 is known once it is free, and each change wakes who
// waits for one.
func TestLocal(t *testing.T) {
	const index = 1 << 30
	m := leased(t, &config.Config{Network: config.Network{Interfaces: []config.Interface{{Name: "eth0", DHCP: true}}}}, "eth0")
	for _, c := range []struct {
		name  string
		flags int
		there bool
		want  string
		wakes bool
	}{
		{"not yet sure", unix.IFA_F_TENTATIVE, true, "invalid Prefix", false},
		{"sure", 0, true, "fe80::2/64", true},
		{"again", 0, true, "fe80::2/64", false},
		{"gone", 0, false, "invalid Prefix", true},
		{"somebody else's", unix.IFA_F_DADFAILED, true, "invalid Prefix", false},
	} {
		changed := m.Changed()
		m.handleAddress(news6(index, "fe80::2/64", c.flags, c.there))
		woken := false
		select {
		case <-changed:
			woken = true
		default:
		}
		if got := m.Status()[0].Local.String(); got != c.want || woken != c.wakes {
			t.Errorf("%s: got %s, woken %v, want %s, %v", c.name, got, woken, c.want, c.wakes)
		}
	}
}
