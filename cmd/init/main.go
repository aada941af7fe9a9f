// Command init is the program of the node. As PID 1 it boots the machine and keeps it running; called shelf (or k3os, for
// those who come from there) it is what people type. Which of both it is, argv[0] and the process number say.
package main

import (
	"os"

	"imgbuild/init/boot"
)

// version is set by the linker: -X main.version=...
var version = "development"

func main() {
	if os.Getpid() == 1 {
		boot.Main(version)
	}
}
