package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Program builds a Go package, imgbuild/qemu/fixtures/rogue for example, for guests of 64 bits, and
// returns the program.
func Program(ctx context.Context, pkg, path string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", pkg, err, text)
	}
	return os.ReadFile(path)
}
