package ubootscript

import (
	"os/exec"
	"testing"
)

// path finds a reference tool.
func path(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
