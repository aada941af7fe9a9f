package k3s

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"

	"gopkg.in/yaml.v3"
)

// ResetPath names, on a disk that was made from a backup of a server with etcd, the snapshot from
// which the cluster starts again: a path relative to k3s' data directory.
const ResetPath = "/var/lib/shelf/etcd-restore"

// Snapshot has k3s make a snapshot of etcd below its data directory and returns the file. k3s
// appends the node's name and the time to name. run runs a command to its end.
func Snapshot(ctx context.Context, cfg *config.Config, name string, run func(ctx context.Context, argv ...string) error) (string, error) {
	dir := filepath.Join(dataDir(cfg), "server", "db", "shelf-snapshot")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	// k3s makes its default directory and no other.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := run(ctx, snapshotCommand(cfg, name, dir)...); err != nil {
		return "", err
	}
	made, _ := filepath.Glob(filepath.Join(dir, name+"*"))
	if len(made) != 1 {
		return "", fault.New(fault.Unhealthy, "look at `shelf logs k3s`", "k3s left %d files in %s instead of one", len(made), dir)
	}
	return made[0], nil
}

// snapshotCommand has the running server save etcd as dir/NAME-NODE-TIME (k3s' documentation,
// cli/etcd-snapshot). Newer k3s asks the server for it, at port 6443 by default; older
// k3s knows no --etcd-server.
func snapshotCommand(cfg *config.Config, name, dir string) []string {
	line := []string{"k3s", "etcd-snapshot", "save", "--data-dir=" + dataDir(cfg), "--name=" + name, "--etcd-snapshot-dir=" + dir}
	if port := flag(cfg, "https-listen-port", "", "6443"); port != "6443" {
		line = append(line, "--etcd-server=https://127.0.0.1:"+port)
	}
	return line
}

// HasEtcd reports whether the server in a data directory keeps its database in its own etcd (k3s
// looks for the same directory).
func HasEtcd(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "server/db/etcd/member"))
	return err == nil
}

// Elsewhere reports whether k3s is configured to keep its database on another machine: by
// arguments, environment or its own files below root (k3s' documentation, datastore; cli/server).
func Elsewhere(cfg *config.Config, root string) bool {
	if flag(cfg, "datastore-endpoint", "", cfg.K3OS.Environment["K3S_DATASTORE_ENDPOINT"]) != "" || onCommandLine(cfg, "disable-etcd") {
		return true
	}
	for _, file := range ownFiles(cfg, root) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var given struct {
			Endpoint string `yaml:"datastore-endpoint"`
			NoEtcd   bool   `yaml:"disable-etcd"`
		}
		_ = yaml.Unmarshal(text, &given) // k3s itself reports what it cannot read
		if given.Endpoint != "" || given.NoEtcd {
			return true
		}
	}
	return false
}

// ownFiles are k3s' own configuration files below root, as k3s reads them, without the one that we
// write.
func ownFiles(cfg *config.Config, root string) []string {
	main := flag(cfg, "config", "c", valueOr(cfg.K3OS.Environment["K3S_CONFIG_FILE"], "/etc/rancher/k3s/config.yaml"))
	files, _ := filepath.Glob(filepath.Join(root, main+".d", "*.yaml"))
	files = append([]string{filepath.Join(root, main)}, files...)
	return slices.DeleteFunc(files, func(f string) bool { return f == filepath.Join(root, DropInPath) })
}

// fileValues returns every value of a flag in k3s' own files, also those that a later file
// replaces.
func fileValues(cfg *config.Config, root, flag string) []string {
	var values []string
	for _, file := range ownFiles(cfg, root) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		var given map[string]yaml.Node
		_ = yaml.Unmarshal(text, &given) // k3s itself reports what it cannot read
		for _, key := range []string{flag, flag + "+"} {
			node := given[key]
			var list []string
			if node.Kind == yaml.ScalarNode {
				list = []string{node.Value}
			} else {
				_ = node.Decode(&list)
			}
			values = append(values, list...)
		}
	}
	return values
}

// alone is the configuration with which etcd's database is made from a snapshot: k3s refuses to as
// long as another server is configured.
func alone(cfg *config.Config) *config.Config {
	c := *cfg
	c.K3OS.ServerURL = ""
	c.K3OS.K3sArgs = nil
	args := cfg.K3sArguments()
	for i := 0; i < len(args); i++ {
		switch name, _, with := strings.Cut(args[i], "="); {
		case name != "--server" && name != "-s":
			c.K3OS.K3sArgs = append(c.K3OS.K3sArgs, args[i])
		case !with:
			i++ // its value
		}
	}
	c.K3OS.Environment = map[string]string{}
	for name, value := range cfg.K3OS.Environment {
		if name != "K3S_URL" {
			c.K3OS.Environment[name] = value
		}
	}
	return &c
}

// resetCluster makes etcd's database out of the snapshot that note names, once (k3s' documentation,
// cli/etcd-snapshot, restore). k3s ends by itself when that is done. write makes the files that k3s
// reads.
func resetCluster(ctx context.Context, note, binary, name string, cfg *config.Config, write func(*config.Config) error, say func(string)) error {
	text, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir := dataDir(cfg)
	snapshot := filepath.Join(dir, filepath.Clean("/"+strings.TrimSpace(string(text))))
	if _, err := os.Stat(snapshot); errors.Is(err, fs.ErrNotExist) && HasEtcd(dir) {
		// The backup's data were put aside for those on the data disk that the node had.
		say("etcd has a database already, which is newer than the backup")
		return done(note)
	} else if err != nil {
		return fault.Wrap(err, fault.Input, "restore another backup, or remove "+note, "the snapshot to begin from is not there")
	}
	say("making etcd's database from the backup")
	cfg = alone(cfg)
	if err := write(cfg); err != nil {
		return err
	}
	// k3s' mark of a reset that came to its end before a power cut took our note of it; with it
	// there, k3s does nothing.
	if err := os.Remove(filepath.Join(dir, "server/db/reset-flag")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	command := append(Command(binary, Server, cfg), "--cluster-reset", "--cluster-reset-restore-path="+snapshot)
	if _, err := supervise.Run(ctx, supervise.Command{Spec: supervise.Spec{Args: command, Env: Environment(cfg, name), NoFile: 1048576}}); err != nil {
		return fault.Wrap(err, fault.Unhealthy, "look at the line before; restore another backup", "etcd's database could not be made from the backup")
	}
	return done(note)
}

func done(note string) error {
	if err := os.Remove(note); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(note))
}
