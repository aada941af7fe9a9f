package login

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"imgbuild/init/base/guard"
)

// address is where the node asks its own sshd.
const address = "127.0.0.1:22"

// banner returns nil when a server answers with the banner of ssh (RFC 4253, 4.2): a
// new system whose sshd only takes connections can be reached by nobody.
func banner(ctx context.Context, server string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", server)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() {
		defer guard.Catch()
		c.Close()
	})
	defer stop()
	line, err := bufio.NewReader(io.LimitReader(c, 255)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("sshd sends no banner: %w", err)
	}
	if !strings.HasPrefix(line, "SSH-2.0-") {
		return fmt.Errorf("sshd answers %.40q instead of its banner", line)
	}
	return nil
}
