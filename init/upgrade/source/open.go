package source

import (
	"context"
	"os"
	"strings"

	"imgbuild/init/contract/fault"
)

// Options are the settings of the sources.
type Options struct {
	HTTP HTTPOptions
	USB  USBOptions
}

// Open opens what people name: a file, - for standard input, the URL of a file on a web server,
// oci://REF for an artifact in a registry, or usb for the newest bundle that is plugged in. kind is
// one of FromFile and its like.
func Open(ctx context.Context, name string, o Options) (s Source, kind string, err error) {
	scheme, rest, found := strings.Cut(name, "://")
	switch {
	case name == "-":
		return NewStream(os.Stdin), FromStdin, nil
	case name == "usb":
		u, err := OpenUSB(ctx, o.USB)
		if err != nil {
			return nil, "", err
		}
		return u, FromUSB, nil
	case found && (scheme == "http" || scheme == "https"):
		h, err := NewHTTP(name, o.HTTP)
		if err != nil {
			return nil, "", err
		}
		return h, FromHTTP, nil
	case scheme == "oci" && found:
		h, err := OpenOCI(ctx, rest, o.HTTP)
		if err != nil {
			return nil, "", err
		}
		return h, FromOCI, nil
	case found:
		return nil, "", fault.New(fault.Usage, "give a file, http://, https:// or oci://, usb, or - for standard input", "there are no upgrades from %s://", scheme)
	}
	f, err := OpenFile(name)
	if err != nil {
		return nil, "", err
	}
	return f, FromFile, nil
}
