// Command init is the program of the node. As PID 1 it boots the machine and keeps it running; called shelf (or k3os, for
// those who come from there) it is what people type. Which of both it is, argv[0] and the process number say.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/boot"
	"imgbuild/init/contract/fault"
)

// version is this program's own. It tells nothing of the commit: a slot must not change because a document did. Once the
// slot's manifest is read, its hash of this program takes its place.
const version = "unknown"

// verb is one word after shelf.
type verb struct {
	name, usage, help string
	run               func(args []string) error
}

// verbs are in the order of the help. Those that print data take -o json, or output=json, as well.
func verbs() []verb {
	return []verb{
		{"status", "status", "how the node is, on one screen; exit code 7 when something failed", showStatus},
		{"services", "services", "every service, its phase and restarts", services},
		{"logs", "logs [NAME] [-f] [-n LINES]", "the log of a service, and what comes with -f; without a name which logs there are", logs},
		{"start", "start NAME", "start a service", func(a []string) error { return unitOrder("start", a) }},
		{"stop", "stop NAME", "stop a service until it is started, or the node boots", func(a []string) error { return unitOrder("stop", a) }},
		{"restart", "restart NAME", "stop a service and start it again", func(a []string) error { return unitOrder("restart", a) }},
		{"top", "top", "memory and processor time of every service", top},
		{"network", "network", "interfaces, addresses, gateways, name servers", networkVerb},
		{"dmesg", "dmesg", "the kernel's messages", dmesg},
		{"report", "report", "the report of this boot, as it stands on the boot partition", showReport},
		{"config", "config [--dump] [secrets=yes] | reload | check [FILE] | apply [FILE] [try=120] | confirm | revert", "the merged configuration, secrets masked; read it again; look at another one, or try it: it is taken back unless a new ssh login confirms it", configVerb},
		{"data", "data [repair|format] [yes=WORD]", "the data partition when it is not in use: what is wrong, how to look; repair it, or make it anew", dataVerb},
		{"backup", "backup [now|list|key|forget]", "the backups of a server: how they go; make one now; those that are there; the key to allow there; forget the other end's host key", backupVerb},
		{"disk", "disk [move|forget]", "the data disk of data.device; move k3s' data there and reboot; or give up those that are on it", diskVerb},
		{"rescue", "rescue [on|off]", "whether the next boot is the rescue system, without data partition and services", rescueVerb},
		{"reboot", "reboot [REASON]", "stop everything in order and start again", func(a []string) error { return end("reboot", a) }},
		{"poweroff", "poweroff [REASON]", "stop everything in order and switch off", func(a []string) error { return end("poweroff", a) }},
		{"reset", "reset [yes=yes]", "delete everything but configuration and identity, and start again", reset},
		{"support", "support [out=FILE|-]", "gather logs, status and configuration into a file, secrets removed", supportVerb},
		{"completion", "completion bash", "what makes a shell complete these words", completion},
		{"version", "version", "the version of this program and of the running system", showVersion},
		{"help", "help [VERB]", "this list, or one verb", help},
	}
}

func main() {
	if os.Getpid() == 1 {
		boot.Main(version)
	}
	os.Exit(cli(filepath.Base(os.Args[0]), os.Args[1:]))
}

// cli runs what people type and gives the exit code.
func cli(name string, args []string) int {
	err := dispatch(name, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "shelf:", err)
	}
	return fault.Code(err)
}

func dispatch(name string, args []string) error {
	switch name {
	case "k3os":
		return k3os(args)
	case "reboot", "poweroff":
		return end(name, args)
	case "halt", "shutdown":
		return end("poweroff", nil)
	}
	if len(args) == 0 {
		return help(nil)
	}
	switch args[0] {
	case "-h", "--help":
		return help(nil)
	case "--version":
		return showVersion(args[1:])
	}
	for _, v := range verbs() {
		if v.name == args[0] {
			return v.run(args[1:])
		}
	}
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return fault.New(fault.Usage, "say one of "+strings.Join(names, ", "), "unknown verb %q", args[0])
}

// none refuses operands of a verb that takes none.
func none(name string, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fault.New(fault.Usage, "say shelf help "+name, "%s takes no %q", name, args[0])
}
