package k3s

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
)

// NamePath keeps the name under which the cluster knows the node, next to the password that proves
// it.
const NamePath = "/var/lib/rancher/k3os/node/name"

// nodeName returns the name of the Kubernetes node and keeps it in path. It is the one that was
// configured for k3s; else the one that the node had first, whatever its hostname is now; else the
// hostname. A renamed node would be a second one with pods of its own, while the first stays in the
// cluster as lost. changed: the hostname is another one by now.
func nodeName(path string, cfg *config.Config, hostname string) (name string, changed bool, err error) {
	given := flag(cfg, "node-name", "", cfg.K3OS.Environment["K3S_NODE_NAME"])
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	first := strings.TrimSpace(string(kept))
	hostname = strings.ToLower(hostname)
	switch {
	case given != "":
		name = strings.ToLower(given)
	case first != "":
		name, changed = first, hostname != "" && first != hostname
	default:
		name = hostname
	}
	if name != "" && name != first {
		err = atomicfile.Write(path, []byte(name+"\n"), 0o600)
	}
	return name, changed, err
}
