package main

import (
	"slices"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
)

// k3os is for users of k3OS: the three functions of its program that people and scripts used.
func k3os(args []string) error {
	verb := ""
	if len(args) > 0 {
		verb = args[0]
	}
	switch verb {
	case "--version", "-v", "version":
		s, err := askStatus()
		if err != nil {
			show("k3os version", version, "(ShelfOS)")
			return nil
		}
		showf("k3os version %s (ShelfOS)\n", s.Version)
		return nil
	case "config":
		// The phases --initrd, --boot and --install ran at those times; by hand all of them meant:
		// apply what is there.
		for _, flag := range args[1:] {
			switch {
			case flag == "--dump":
				return run([]string{"config"})
			case flag == "--dump-json":
				return run([]string{"config", "output=json"})
			case !slices.Contains([]string{"--initrd", "-i", "--boot", "-b", "--install"}, flag):
				return fault.New(fault.Usage, "run k3os config, k3os config --dump or k3os config --dump-json", "config takes no %q", flag)
			}
		}
		return control.Call(control.Socket, control.Request{Verb: "reload"}, nil)
	case "upgrade":
		return fault.New(fault.Usage, "run shelf upgrade here, or imgbuild upgrade on the laptop",
			"k3OS's upgrades do not exist here: this system is upgraded as a whole, from a signed bundle")
	case "", "help", "-h", "--help":
		showf("This is ShelfOS. For users of k3OS this command has\n\n  k3os config [--dump | --dump-json]   apply the configuration again, or show it\n" +
			"  k3os upgrade                         shows the state of upgrades\n  k3os --version\n\nFor everything else run shelf; see shelf help.\n")
		return nil
	}
	return fault.New(fault.Usage, "run shelf help for what this system can do", "k3os does not know %q here", verb)
}
