package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"imgbuild/init/contract/fault"
)

// Edit lets the user change a text with an editor, a shell's words. The file is in memory where
// there is a place for files in it.
func Edit(ctx context.Context, editor string, text []byte) ([]byte, error) {
	if editor == "" {
		return nil, fault.New(fault.Usage, "set EDITOR, for example EDITOR=nano", "there is no editor")
	}
	dir, err := os.MkdirTemp("/dev/shm", "imgbuild-")
	if err != nil {
		dir, err = os.MkdirTemp("", "imgbuild-")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "making a temporary file")
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, SecretsFile)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return nil, fault.Wrap(err, fault.Device, "", "making a temporary file")
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fault.Wrap(err, fault.Usage, "nothing was changed", "the editor %s", editor)
	}
	return os.ReadFile(name)
}
