// Command init is PID 1 of the node: it boots the machine and keeps it running. It is all of our
// code in the initramfs, where each byte is read and unpacked before anything else happens; what
// people type is cmd/shelf.
package main

import (
	"fmt"
	"os"

	"imgbuild/init/boot"
	"imgbuild/init/contract/fault"
)

// version is this program's own. It does not contain the commit: a slot must not change because a
// document did. Once the slot's manifest is read, its hash of this program takes its place.
const version = "unknown"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: the kernel starts this program as PID 1; the command of a node is shelf")
		os.Exit(int(fault.Usage))
	}
	boot.Main(version)
}
