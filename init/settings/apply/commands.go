package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
	"imgbuild/init/supervise"
)

// CommandLimit ends a line of init_cmd, boot_cmd or run_cmd that does not come to an end: k3OS
// waited for ever.
const CommandLimit = 10 * time.Minute

// Commands runs the lines of one phase with sh -c, in order, their output to log. The first that
// fails ends the phase, as in k3OS. An error names the place of a line and not the line, which may
// hold a password; where gives that place, and may be nil.
func Commands(ctx context.Context, phase string, lines []string, env map[string]string, log io.Writer, where func(path string) string) error {
	for i, line := range lines {
		fmt.Fprintf(log, "%s[%d]: %s\n", phase, i, mask.String(line))
		name := fmt.Sprintf("%s[%d]", phase, i)
		if where != nil {
			if at := where(name); at != "" {
				name += " in " + at
			}
		}
		one, cancel := context.WithTimeout(ctx, CommandLimit)
		cmd := supervise.Cmd("/bin/sh", "-c", line)
		for _, name := range sorted(env) {
			cmd.Env = append(cmd.Env, name+"="+env[name])
		}
		cmd.Output = log
		_, err := supervise.Run(one, cmd)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return fault.New(fault.Input, "put what runs for long into services", "%s ran for more than %v and was stopped", name, CommandLimit)
		}
		if err != nil {
			return fault.New(fault.Input, "correct the line in the configuration; its output is in /var/log/shelf/commands.log", "%s failed: %v", name, err)
		}
	}
	return nil
}
