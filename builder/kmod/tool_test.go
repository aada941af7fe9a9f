package kmod

import (
	"os/exec"
	"testing"
)

// reference finds a reference tool.
func reference(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
