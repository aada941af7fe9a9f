package apply

import (
	"slices"
	"testing"

	"imgbuild/builder/remote"
)

func TestNewAddresses(t *testing.T) {
	n := &remote.Node{Address: "[fd00::1]:2222"}
	got := newAddresses(n, []byte(`network:
  interfaces:
  - {name: eth0, addresses: [192.0.2.22/24, 'fd00::22/64', 'fd00::1/64']}
  - {name: eth1, addresses: [nonsense, 192.0.2.22/25]}
  - {name: eth2}
`))
	if want := []string{"192.0.2.22:2222", "[fd00::22]:2222"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := newAddresses(n, []byte("{")); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
