package wifi

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// alive is how long wpa_supplicant may be silent before it is asked whether it is still there.
const alive = 30 * time.Second

// Watch follows wpa_supplicant's events of one interface until ctx ends, and reports in words why
// there is no connection; an empty text is a connection. A restarted one is followed again.
func Watch(ctx context.Context, radio string, report func(text string)) {
	for ctx.Err() == nil {
		_ = listen(ctx, filepath.Join(ControlDir, radio), report) // it is not there, or went away
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// listen attaches to a control socket (wpa_ctrl.h: datagrams, ATTACH, then events as <LEVEL>TEXT).
func listen(ctx context.Context, path string, report func(string)) error {
	c, hangUp, err := dial(path, ".shelf-")
	if err != nil {
		return err
	}
	defer hangUp()
	if _, err := c.Write([]byte("ATTACH")); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	asked := false
	var last events
	for ctx.Err() == nil {
		_ = c.SetReadDeadline(time.Now().Add(alive))
		n, err := c.Read(buf)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			if asked {
				return err
			}
			asked = true
			if _, err := c.Write([]byte("PING")); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		text := string(buf[:n])
		if !strings.HasPrefix(text, "<") {
			continue // an answer
		}
		if _, text, _ = strings.Cut(text, ">"); text == "CTRL-EVENT-TERMINATING" {
			return nil
		}
		if what, ok := last.news(text); ok {
			report(what)
		}
	}
	return ctx.Err()
}
