// Package rescue explains what is different on a node that runs without its data.
package rescue

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Node is what counts.
type Node struct {
	Degraded bool   // the data partition is not in use
	Rescue   string // what asked for that; empty if it is lost
	Forced   bool   // the kernel's command line asks for it, which no command takes back
}

// MayRun reports whether the commands of a phase run. In the rescue system none do: one of them may
// be what is wrong. A node that lost its data runs those that it may need to be reached, and not
// those that work with its data.
func (n Node) MayRun(phase string) bool {
	return !n.Degraded || n.Rescue == "" && phase != "run_cmd"
}

// Summary is the state at the top of the report when the node is up.
func (n Node) Summary() string {
	switch {
	case n.Rescue != "":
		return "The node is up as the rescue system, because of " + n.Rescue + ". Its data partition is left alone. Log in and run: sudo shelf data"
	case n.Degraded:
		return "The node is up, but keeps nothing: its data partition is not in use. Log in and run: sudo shelf data"
	}
	return "The node is up."
}

// Greeting is shown at each login: what is different, and what can be done. Both are
// empty on a node with its data.
func (n Node) Greeting() (head, back string) {
	switch {
	case n.Rescue != "":
		head = "RESCUE (" + n.Rescue + "): the data partition and all services are left alone; what is written here is gone with the next boot."
		back = "sudo shelf data         shows how to examine and repair the data partition"
		if !n.Forced {
			back += "\nsudo shelf rescue off   makes the next boot an ordinary one"
		}
	case n.Degraded:
		head = "DEGRADED: the data partition is not in use; what is written here is gone with the next boot."
		back = "sudo shelf data   shows why, and what can be done"
	}
	return head, back
}

// Fingerprints returns those of the host keys in dir, as ssh shows them at login.
func Fingerprints(dir string) []string {
	paths, _ := filepath.Glob(filepath.Join(dir, "ssh_host_*_key.pub"))
	var prints []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if key, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
			prints = append(prints, fmt.Sprintf("%s %s", strings.TrimPrefix(key.Type(), "ssh-"), ssh.FingerprintSHA256(key)))
		}
	}
	slices.Sort(prints)
	return prints
}
