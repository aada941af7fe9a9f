package agent

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// firewall loads rules that are not loaded yet, in one transaction: after an error those before are
// still in force.
func (a *Agent) firewall(rules string) {
	if rules == a.rules {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("nft: %w: %.300s", err, out.String())
	} else {
		a.rules = rules
	}
	a.attempt("the firewall", err)
}
