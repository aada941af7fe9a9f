package sources

import (
	"os"
	"path/filepath"

	"imgbuild/init/contract/config"
)

// Merge reads all sources as PID 1 does, the kernel's command line of root's /proc included, and
// gives the node's configuration with what is wrong with it. root is "/" on a node.
func Merge(root string) (*config.Config, []config.Problem) {
	cmdline, _ := os.ReadFile(filepath.Join(root, "proc/cmdline"))
	layers, problems := Layers(root, string(cmdline))
	c, more := config.Merge(layers...)
	return c, append(problems, more...)
}
