package main

import (
	"context"
	"os"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

// serviceWord is the placeholder of service names, which the shell asks for.
const serviceWord = "$(shelf services names 2>/dev/null)"

// The keys of more than one verb.
var (
	yesWord = line.Key{Name: "yes", Value: "WORD", Doc: "What would be asked on a terminal: yes=repair for data repair, yes=format for data format."}
	tryKey  = line.Key{Name: "try", Value: "SECONDS|no", Words: []string{"no"}, Doc: "With apply: how long the node waits for a new login before it takes the change back; default 120."}
)

// shelf is the command that people type on a node.
func shelf() *line.Program {
	print := []line.Key{line.Output}
	plain := func(do func(asJSON bool) error) func(context.Context, *line.Args) error {
		return func(_ context.Context, a *line.Args) error { return do(a.JSON()) }
	}
	words := func(do func(words []string, asJSON bool) error) func(context.Context, *line.Args) error {
		return func(_ context.Context, a *line.Args) error { return do(a.Operands, a.JSON()) }
	}
	order := func(name string, do func(verb string, words []string, asJSON bool) error) func(context.Context, *line.Args) error {
		return words(func(w []string, asJSON bool) error { return do(name, w, asJSON) })
	}
	return &line.Program{
		Name:    "shelf",
		Summary: "shelf is the command of a ShelfOS node.",
		Usage:   "shelf VERB [operand...] [key=value...]",
		Verbs: []line.Verb{
			{Name: "status", Summary: "how the node is, on one screen; exit code 7 when something failed", Keys: print, Run: plain(showStatus)},
			{Name: "services", Operands: "[names]", Summary: "every service, its phase and restarts", Keys: print, Run: words(services)},
			{Name: "logs", Operands: "[NAME]", Words: serviceWord, Summary: "the log of a service; without a name which logs there are", Keys: []line.Key{
				{Name: "follow", Short: "f", Flag: true, Value: "yes|no", Doc: "Also what comes."},
				{Name: "lines", Short: "n", Value: "LINES", Doc: "How many of the newest lines; 0 for all there is, default 100."}, line.Output},
				Examples: []string{"shelf logs k3s -f -n 50"}, Run: func(_ context.Context, a *line.Args) error { return logs(a) }},
			{Name: "start", Operands: "NAME", Words: serviceWord, Summary: "start a service", Keys: print, Run: order("start", unitOrder)},
			{Name: "stop", Operands: "NAME", Words: serviceWord, Summary: "stop a service until it is started, or the node boots", Keys: print, Run: order("stop", unitOrder)},
			{Name: "restart", Operands: "NAME", Words: serviceWord, Summary: "stop a service and start it again", Keys: print, Run: order("restart", unitOrder)},
			{Name: "top", Summary: "memory and processor time of every service", Keys: print, Run: plain(top)},
			{Name: "network", Summary: "interfaces, addresses, gateways, name servers", Keys: print, Run: plain(networkVerb)},
			{Name: "dmesg", Summary: "the kernel's messages", Keys: print, Run: plain(dmesg)},
			{Name: "report", Summary: "the report of this boot, as it is on the boot partition", Keys: print, Run: plain(showReport)},
			{Name: "config", Operands: "[--dump] | reload | check [FILE] | apply [FILE] | confirm | revert", Words: "reload check apply confirm revert",
				Summary: "the merged configuration, secrets masked; read it again; look at another one, or try it: it is taken back unless a new ssh login confirms it",
				Keys: []line.Key{{Name: "dump", Flag: true, Value: "yes|no", Doc: "Show the configuration, which is what happens without a word."},
					{Name: "secrets", Value: "yes|no", Doc: "yes: do not mask secrets."}, tryKey, line.Output},
				Run: func(_ context.Context, a *line.Args) error { return configVerb(a) }},
			{Name: "data", Operands: "[repair|format]", Words: "repair format", Summary: "the data partition when it is not in use: show what is wrong, repair it, or create it again, empty",
				Keys: []line.Key{yesWord}, Run: func(_ context.Context, a *line.Args) error { return dataVerb(a) }},
			{Name: "backup", Operands: "[now|list|key|forget] | enroll DISK | now [NAME] | list NAME | restore NAME SHARE[/PATH] | forget NAME", Words: "now list key forget enroll restore",
				Summary: "the backups of a server: how they go; make one now; those that are there; the key to allow there; forget the other end's host key; those of a storage node: make a disk one for backups; make one now; what is on the disk; bring a share or a path of it back; give the disk up; the key to allow on a server",
				Keys:    backupKeys, Examples: []string{"sudo shelf backup enroll SERIAL=WD-1234 name=stick", "sudo shelf backup restore stick photos", "sudo shelf backup restore stick photos/trip.jpg at=2d"},
				Run: func(_ context.Context, a *line.Args) error { return backupVerb(a) }},
			{Name: "disk", Operands: "[move|forget]", Words: "move forget", Summary: "the data disk of data.device; move k3s' data there and reboot; or give up those that are on it",
				Run: func(_ context.Context, a *line.Args) error { return diskVerb(a.Operands) }},
			{Name: "upgrade", Operands: "FILE|URL|usb|- | auto [now] | status | resume", Words: "usb auto status resume", Summary: "install an upgrade from a bundle and reboot into it; it is committed when its checks pass, else the node falls back; auto: whether the node would upgrade itself now; status: automatic upgrades and, on the server, whose turn it is; resume: go on with versions that were stopped",
				Keys: []line.Key{{Name: "reboot", Value: "yes|no", Words: []string{"yes", "no"}, Doc: "no: the next boot tries it, whenever that is."},
					{Name: "arm", Value: "yes|no", Words: []string{"yes", "no"}, Doc: "no: write the slot only. The fallback that was in it is gone."},
					{Name: "force", Value: "yes|no", Words: []string{"yes", "no"}, Doc: "yes: take a bundle that was rolled back here. Signature, family, role and floor are checked all the same."},
					{Name: "datastore", Value: "keep", Words: []string{"keep"}, Doc: "keep: go to another minor version of k3s although nothing can bring the datastore back (several servers, a database elsewhere, no space)."},
					{Name: "serve", Flag: true, Value: "yes|no", Doc: "For imgbuild upgrade: the bundle comes from the laptop at the other end of ssh."},
					{Name: "by", Value: "plan", Words: []string{"plan"}, Doc: "With --serve: the bundle comes from a container of a Plan."},
					{Name: "plan", Flag: true, Value: "yes|no", Doc: "In a container that `imgbuild bundle oci=REF` made: upgrade the node whose root is at /host, and end with 0 when it has committed."}, line.Output},
				Examples: []string{"sudo shelf upgrade /home/rancher/rpi4-worker.upgrade", "sudo shelf upgrade https://nas.lan/rpi4-worker.upgrade", "sudo shelf upgrade usb"}, Run: func(_ context.Context, a *line.Args) error { return upgradeVerb(a) }},
			{Name: "rollback", Summary: "give up the trial that runs, take back an upgrade that waits, or reboot into the system of the other slot",
				Keys: []line.Key{{Name: "restore", Value: "FILE", Doc: "On a server: start the system of the other slot with this backup, which the way back across a minor version of k3s needs. It is on trial; if it fails, this system and its data come back."}, line.Output},
				Run:  func(_ context.Context, a *line.Args) error { return rollback(a) }},
			{Name: "firmware", Operands: "[upgrade FILE|URL|usb|- | rollback]", Words: "upgrade rollback", Summary: "the firmware on the boot partition; upgrade it from a bundle and reboot, which nothing tries first: if it does not boot, the card has to come out; rollback: the one before boots again",
				Keys:     []line.Key{{Name: "serve", Flag: true, Value: "yes|no", Doc: "With upgrade, for imgbuild upgrade firmware=yes: the bundle comes from the laptop at the other end of ssh."}, line.Output},
				Examples: []string{"sudo shelf firmware", "sudo shelf firmware upgrade https://nas.lan/rpi4-worker.upgrade"}, Run: func(_ context.Context, a *line.Args) error { return firmwareVerb(a) }},
			{Name: "commit", Summary: "commit the running trial, whatever the result of its checks", Keys: print, Run: plain(commit)},
			{Name: "hold", Operands: "[SECONDS|off]", Words: "off", Summary: "neither commit the trial that runs nor give it up, for an hour or the seconds given", Keys: print, Run: words(hold)},
			{Name: "history", Summary: "the upgrades of this node, and how each ended", Keys: print, Run: plain(history)},
			{Name: "key", Operands: "[list | add KEY|FILE]", Words: "list add", Summary: "whose upgrades this node takes; add a public key, or those of a file that a trusted key has signed (FILE.minisig)",
				Keys: print, Run: func(_ context.Context, a *line.Args) error { return keyVerb(a) }},
			{Name: "token", Operands: "[rotate|set]", Words: "rotate set", Summary: "whether k3s is ready, and the cluster's nodes; change the cluster's token to the one on standard input, or this node's; `imgbuild token rotate` does both",
				Keys: print, Run: words(tokenVerb)},
			{Name: "storage", Operands: "[status|disks | forget|degraded|scrub|balance|cancel NAME | replace NAME NEW [OLD] | convert SHARE]", Words: "status disks forget degraded scrub balance cancel replace convert",
				Summary: "the disks and shares of a storage node; every disk with its serial number; give up the disk that an entry used; write it although its other half is missing; check and repair it; give half-used space back; end that; put a blank disk in the place of one; make the directory of a share a subvolume",
				Keys:    print, Run: func(_ context.Context, a *line.Args) error { return storageVerb(a) }},
			{Name: "router", Operands: "[status]", Words: "status", Summary: "both sides of a router, the DHCP servers it relays to, and the boards on its shelf",
				Keys: print, Run: routerVerb},
			{Name: "restore", Operands: "PATH", Summary: "bring a file or directory of a share back from a snapshot; without a time from the newest that differs; what is there now is kept under another name",
				Keys: []line.Key{{Name: "at", Value: "TIME", Doc: "As it was then: 2026-11-30, \"2026-11-30 14:00\", 3h or 2d ago, or the name of a snapshot."},
					{Name: "list", Flag: true, Value: "yes|no", Doc: "Only show which snapshots have it."}},
				Examples: []string{"sudo shelf restore /srv/data/photos/trip.jpg", "sudo shelf restore /srv/data/photos/trip at=2d"}, Run: func(_ context.Context, a *line.Args) error { return restoreVerb(a) }},
			{Name: "rescue", Operands: "[on|off]", Words: "on off", Summary: "whether the next boot is the rescue system, without data partition and services",
				Run: func(_ context.Context, a *line.Args) error { return rescueVerb(a.Operands) }},
			{Name: "reboot", Operands: "[REASON...]", Summary: "stop everything in order and start again", Keys: print, Lax: true, Run: order("reboot", end)},
			{Name: "poweroff", Operands: "[REASON...]", Summary: "stop everything in order and switch off", Keys: print, Lax: true, Run: order("poweroff", end)},
			{Name: "reset", Summary: "delete everything but configuration and identity, and start again",
				Keys: []line.Key{{Name: "yes", Value: "yes", Flag: true, Doc: "Do not ask."}, line.Output}, Run: func(_ context.Context, a *line.Args) error { return reset(a) }},
			{Name: "support", Operands: "[-]", Words: "-", Summary: "gather logs, status and configuration into a file, secrets removed; - is standard output",
				Keys: []line.Key{{Name: "out", Value: "FILE", Doc: "The file; default one in /tmp."}, line.Output}, Run: func(_ context.Context, a *line.Args) error { return supportVerb(a) }},
			line.Completion("shelf"),
			{Name: "version", Summary: "the version of this program and of the running system", Keys: print, Run: plain(showVersion)},
		},
		More: "`shelf help VERB` shows the words of a verb. Verbs that print data accept -o json. Orders need sudo or the group shelf.\n\n" +
			"Exit codes: 0 good, 1 internal, 2 usage, 3 configuration, 4 network, 5 verification, 6 device, 7 unhealthy.",
	}
}

// run carries out a command line of shelf.
func run(args []string) error {
	if len(args) > 0 && args[0] == "--version" {
		args = append([]string{"version"}, args[1:]...)
	}
	a, err := shelf().Parse(args)
	if err != nil {
		return err
	}
	if a.Verb == nil {
		return a.PrintHelp(os.Stdout)
	}
	if err := a.Empty(); err != nil {
		return err
	}
	return a.Verb.Run(context.Background(), a)
}

// unknown is the fault for a word that a verb does not take.
func unknown(verb, word string) error {
	return fault.New(fault.Usage, "run `shelf help "+verb+"`", "%s takes no %q", verb, word)
}
