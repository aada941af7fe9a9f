package image

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"

	"imgbuild/init/contract/fault"
)

//go:embed programs
var programs embed.FS

// Program returns the init for a Debian architecture, and its sha256 in hex.
func Program(arch string) ([]byte, string, error) {
	name := map[string]string{"arm64": "init-arm64", "armhf": "init-armv7"}[arch]
	data, err := programs.ReadFile("programs/" + name)
	if err != nil {
		return nil, "", fault.New(fault.Internal, "build it with `make`, not with `go build`", "this imgbuild carries no init for %s", arch)
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), nil
}
