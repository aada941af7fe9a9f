package source

import (
	"context"
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

// Open opens what people name: a file, or - for standard input. kind is one of FromFile and its
// like.
func Open(_ context.Context, name string) (s Source, kind string, err error) {
	switch scheme, _, found := strings.Cut(name, "://"); {
	case name == "-":
		return NewStream(os.Stdin), FromStdin, nil
	case found:
		return nil, "", fault.New(fault.Usage, "give a file, or - for standard input", "there are no upgrades from %s://", scheme)
	}
	f, err := OpenFile(name)
	if err != nil {
		return nil, "", err
	}
	return f, FromFile, nil
}
