package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/fault"
	"imgbuild/init/settings/apply"

	"golang.org/x/crypto/ssh"
)

// degraded tells people what is different on a node that runs without its data: whose ssh keys these are, and what can be
// done. Everybody who logs in reads it first.
func (n *Node) degraded() {
	if !n.lay.Degraded {
		return
	}
	head, back := "DEGRADED: the data partition is not in use; what is written here is gone with the next boot.", "sudo shelf data   tells why, and what can be done"
	if n.lay.Rescue != "" {
		head = "RESCUE (" + n.lay.Rescue + "): the data partition and all services are left alone; what is written here is gone with the next boot."
		back = "sudo shelf data         tells how to look at the data partition, and repair it\nsudo shelf rescue off   makes the next boot an ordinary one"
		if n.pre.Cmdline["shelf.rescue"] != "" {
			back = strings.Split(back, "\n")[0]
		}
	}
	n.tell.Report.Fact("data", head)
	n.tell.Problem(os.WriteFile("/etc/motd", []byte("\n"+head+"\n\n"+back+"\n\n"), 0o644))
	for _, print := range fingerprints(apply.KeyDir) {
		n.tell.Report.Fact("ssh key", print)
		n.tell.Say("the node's own ssh keys lie on the data partition; until that is back it shows %s", print)
	}
}

// fingerprints gives those of the host keys in dir, as ssh shows them to those who log in.
func fingerprints(dir string) []string {
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

// watchData tells, once, when the kernel has found the file system of the data partition damaged and takes no writes for it
// any more (errors=remount-ro). It notes that in the superblock, so that the next boot repairs it.
func (n *Node) watchData() {
	if n.lay.Degraded || !mount.Frozen("/") {
		return
	}
	n.frozen.Do(func() {
		n.base.For("data").Problem(fault.New(fault.Device, "say sudo shelf reboot: the boot checks it and repairs what it can; if it comes again replace the card",
			"the data partition has errors, and the kernel writes nothing to it any more"))
		n.saveReport()
	})
}

// mayRun says whether the commands of a phase run. In the rescue system none do: one of them may be what is wrong. A node
// that lost its data runs those that it may need to be reached, and not those that work with its data.
func (n *Node) mayRun(phase string) bool {
	return !n.lay.Degraded || n.lay.Rescue == "" && phase != "run_cmd"
}

// told is the state that stands at the head of the report when the node is up.
func (n *Node) told() string {
	switch {
	case n.lay.Rescue != "":
		return "The node is up as the rescue system, because of " + n.lay.Rescue + ". Its data partition is left alone. Log in and say: sudo shelf data"
	case n.lay.Degraded:
		return "The node is up, but keeps nothing: its data partition is not in use. Log in and say: sudo shelf data"
	}
	return "The node is up."
}
