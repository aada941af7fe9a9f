package harden

import (
	"testing"

	"imgbuild/init/contract/manifest"
)

func TestHidesProcesses(t *testing.T) {
	for _, c := range []struct {
		k    *manifest.K3s
		want bool
	}{{nil, true}, {&manifest.K3s{Source: "none"}, true}, {&manifest.K3s{Source: "embedded"}, false}, {&manifest.K3s{Source: "firstboot"}, false}} {
		if got := HidesProcesses(c.k); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.k, got, c.want)
		}
	}
}
