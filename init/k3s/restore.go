package k3s

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/config"
	"imgbuild/init/fault"
	"imgbuild/init/mount"
	"imgbuild/init/service"
)

// ResetPath says, on a disk that was made from a backup of a server with etcd, which snapshot the cluster begins from again: a path
// relative to k3s' data directory.
const ResetPath = "/var/lib/shelf/etcd-restore"

// resetCluster makes etcd's database out of the snapshot, once (k3s' documentation, etcd-snapshot, restore).
func resetCluster(ctx context.Context, note, binary string, cfg *config.Config, say func(string)) error {
	text, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	snapshot := filepath.Join(dataDir(cfg), filepath.Clean("/"+strings.TrimSpace(string(text))))
	if _, err := os.Stat(snapshot); err != nil {
		return fault.Wrap(fault.Input, err, "the snapshot to begin from is not there", "restore another backup, or remove "+note)
	}
	say("making etcd's database from the backup")
	command := append(Command(binary, Server, cfg), "--cluster-reset", "--cluster-reset-restore-path="+snapshot)
	if _, err := service.Run(ctx, service.Command{Spec: service.Spec{Args: command, Env: Environment(cfg, ""), NoFile: 1048576}}); err != nil {
		return fault.Wrap(fault.Unhealthy, err, "etcd's database could not be made from the backup", "look at the line before; restore another backup")
	}
	if err := os.Remove(note); err != nil {
		return err
	}
	return mount.SyncDir(filepath.Dir(note))
}
