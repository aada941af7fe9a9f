// Command init is the program of the node. As PID 1 it boots the machine and keeps it running; called shelf (or k3os, for
// those who come from there) it is what people type. Which of both it is, argv[0] and the process number say.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/boot"
	"imgbuild/init/fault"
)

// version is set by the linker: -X main.version=...
var version = "development"

// verb is one word after shelf.
type verb struct {
	name, usage, help string
	run               func(args []string) error
}

var verbs []verb

func init() {
	verbs = []verb{
		{"status", "status [output=json]", "how the node is: steps of the boot, services, network, problems", status},
		{"report", "report", "the report of this boot, as it stands on the boot partition", showReport},
		{"config", "config --dump | config reload", "the merged configuration; or read it again", configVerb},
		{"data", "data [repair|format] [yes=WORD]", "the data partition when it is not in use: what is wrong, how to look; repair it, or make it anew", dataVerb},
		{"backup", "backup [now|list|key|forget]", "the backups of a server: how they go; make one now; those that are there; the key to allow there; forget the other end's host key", backupVerb},
		{"disk", "disk [move|forget]", "the data disk of data.device; move k3s' data there and reboot; or give up those that are on it", diskVerb},
		{"rescue", "rescue [on|off]", "whether the next boot is the rescue system, without data partition and services", rescueVerb},
		{"reboot", "reboot [REASON]", "stop everything in order and start again", func(a []string) error { return end("reboot", a) }},
		{"poweroff", "poweroff [REASON]", "stop everything in order and switch off", func(a []string) error { return end("poweroff", a) }},
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
		return showVersion(nil)
	}
	for _, v := range verbs {
		if v.name == args[0] {
			return v.run(args[1:])
		}
	}
	var names []string
	for _, v := range verbs {
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
