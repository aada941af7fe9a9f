package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// CommandLimit ends a line of init_cmd, boot_cmd or run_cmd that does not come to an end: k3OS waited for ever.
const CommandLimit = 10 * time.Minute

// Commands runs the lines of one phase with sh -c, in order, their output to log. The first that fails ends the phase, as
// in k3OS.
func Commands(ctx context.Context, phase string, lines []string, env map[string]string, log io.Writer) error {
	for i, line := range lines {
		fmt.Fprintf(log, "%s[%d]: %s\n", phase, i, line)
		one, cancel := context.WithTimeout(ctx, CommandLimit)
		cmd := supervise.Cmd("/bin/sh", "-c", line)
		for _, name := range sorted(env) {
			cmd.Env = append(cmd.Env, name+"="+env[name])
		}
		cmd.Output = log
		_, err := supervise.Run(one, cmd)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return fault.New(fault.Input, "put what runs for long into services", "%s[%d] ran for more than %v and was stopped: %s", phase, i, CommandLimit, line)
		}
		if err != nil {
			return fault.New(fault.Input, "correct the line in the configuration; its output is in /var/log/shelf/commands.log", "%s[%d] failed: %s: %v", phase, i, line, err)
		}
	}
	return nil
}
