package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// Resume has the nodes of a cluster go on with versions that were stopped: asked for on its first
// server.
func Resume(ctx context.Context, host string, login remote.Options, out io.Writer) error {
	n, err := remote.Dial(ctx, host, login)
	if err != nil {
		return err
	}
	defer n.Close()
	text, err := n.Output(ctx, "sudo -n shelf upgrade resume -o json", nil)
	if err != nil {
		return err
	}
	var answer struct {
		Resumed []string `json:"resumed"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fault.Wrap(err, fault.Network, "upgrade the node by hand: its shelf is older", "%s answers %.80q", host, text)
	}
	if len(answer.Resumed) == 0 {
		_, err = fmt.Fprintln(out, "no version was stopped")
		return err
	}
	_, err = fmt.Fprintf(out, "nodes upgrade again to %s\n", terminal.Line(strings.Join(answer.Resumed, ", ")))
	return err
}
