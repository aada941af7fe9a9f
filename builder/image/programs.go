package image

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"

	"imgbuild/init/contract/fault"
)

//go:embed programs
var programs embed.FS

// Programs are the two of a node.
type Programs struct {
	Init  []byte // PID 1, which the initramfs holds
	Shelf []byte // the command, which the root holds
}

// ProgramsOf returns the programs for a Debian architecture.
func ProgramsOf(arch string) (p Programs, err error) {
	suffix := map[string]string{"arm64": "arm64", "armhf": "armv7"}[arch]
	for name, to := range map[string]*[]byte{"init": &p.Init, "shelf": &p.Shelf} {
		if *to, err = programs.ReadFile("programs/" + name + "-" + suffix); err != nil {
			return p, fault.New(fault.Internal, "build it with `make`, not with `go build`", "this imgbuild carries no %s for %s", name, arch)
		}
	}
	return p, nil
}

// hashOf returns the sha256 of a program in hex.
func hashOf(program []byte) string {
	sum := sha256.Sum256(program)
	return hex.EncodeToString(sum[:])
}
