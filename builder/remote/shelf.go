package remote

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Shelf runs the node's command with these words, as root. An exit code other than 0 is a fault of
// that kind; what went wrong is in errs then.
func (n *Node) Shelf(ctx context.Context, words []string, in io.Reader, out, errs io.Writer) error {
	command := "sudo -n shelf"
	for _, w := range words {
		command += " " + terminal.Quote(w)
	}
	code, err := n.Run(ctx, command, in, out, errs)
	switch {
	case err != nil:
		return err
	case code != 0:
		return fault.New(fault.Kind(code), "", "%s: shelf %s ended with exit code %d", n.Host, words[0], code)
	}
	return nil
}

// SupportName is the file for a node's support bundle if none is given.
func SupportName(host string, now time.Time) string {
	safe := func(r rune) rune {
		if strings.ContainsRune("/:@[]", r) {
			return '_'
		}
		return r
	}
	return fmt.Sprintf("shelf-support-%s-%s.tar.gz", strings.Map(safe, host), now.UTC().Format("20060102-150405"))
}

// FetchSupport fetches the node's support bundle into a file, whole or not at all.
func (n *Node) FetchSupport(ctx context.Context, file string, errs io.Writer) error {
	f, err := atomicfile.Create(filepath.Dir(file), 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Input, "name another file with out=FILE", "")
	}
	defer f.Close()
	if err := n.Shelf(ctx, []string{"support", "-"}, nil, f, errs); err != nil {
		return err
	}
	return fault.Wrap(f.Commit(file), fault.Device, "", "writing %s", file)
}
