#!/usr/bin/env bash
# Go 1.26.8, os/exec, on Linux 6.18.
#
# ru_maxrss of a child, which wait4(2) returns and os.ProcessState.SysUsage has, is at least the peak memory of the process that
# started it, if that one used vfork: until its exec the child has the parent's memory, and the kernel keeps that peak over the exec.
# Go starts every program that way. A benchmark that has read a large file itself measures its own memory as that of /bin/true.
#
# What follows: read VmHWM in /proc/self/status of the child before it ends, or start what is measured from a small process.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'MOD'
module finding
go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"log"
	"os/exec"
	"syscall"
)

func peak(name string, args ...string) int64 {
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, out)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss / 1024
}

func main() {
	small := peak("true")
	b := make([]byte, 300<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	large := peak("true")
	fmt.Printf("true, started by a small process: below 50 MB: %v\n", small < 50)
	fmt.Printf("true, started by one with 300 MB: at least 300 MB: %v\n", large >= 300)
	fmt.Println(len(b), "bytes are in use until here")
}
GO
export GOTOOLCHAIN=go1.26.8
go version | cut -d' ' -f3
got=$(go run . | head -n 2)
want='true, started by a small process: below 50 MB: true
true, started by one with 300 MB: at least 300 MB: true'
uname -r
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
