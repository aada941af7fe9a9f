package supervise

import (
	"bytes"
	"net"
	"os"
	"strings"
	"time"
)

// notice is one datagram of the sd_notify protocol, as far as the init understands it:
// newline-separated NAME=value (sd_notify(3)). Unknown names are ignored, as the protocol asks.
type notice struct {
	ready    bool
	stopping bool
	status   string // one line for people; empty when the datagram had none
}

// statusLimit is the most that a status may take up in a list.
const statusLimit = 200

func parseNotice(data []byte) notice {
	var n notice
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		name, value, ok := strings.Cut(string(line), "=")
		switch {
		case !ok:
		case name == "READY" && value == "1":
			n.ready = true
		case name == "STOPPING" && value == "1":
			n.stopping = true
		case name == "STATUS":
			n.status = printable(value, statusLimit)
		}
	}
	return n
}

// printable makes text from a service fit for a console: one line, no control characters, at most n
// bytes.
func printable(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if s = strings.TrimSpace(s); len(s) > n {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:n], ""))
	}
	return s
}

// notifySocket is the datagram socket whose path a unit finds in NOTIFY_SOCKET. One for each run of
// a unit, so that a late message of the run before cannot make the next one ready.
type notifySocket struct {
	conn *net.UnixConn
	path string
}

func listenNotify(path string, uid int) (*notifySocket, error) {
	_ = os.Remove(path)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		conn.Close()
		return nil, err
	}
	if uid != os.Getuid() {
		if err := os.Chown(path, uid, -1); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return &notifySocket{conn, path}, nil
}

// A unit that talks all the time waits for its turn: the kernel keeps ten datagrams, then its
// sender blocks.
const noticePause = 20 * time.Millisecond

// serve calls got for each datagram until close.
func (s *notifySocket) serve(got func(notice)) {
	buf := make([]byte, 8<<10)
	for {
		n, _, err := s.conn.ReadFromUnix(buf)
		if err != nil {
			return
		}
		got(parseNotice(buf[:n]))
		time.Sleep(noticePause)
	}
}

func (s *notifySocket) close() {
	s.conn.Close()
	_ = os.Remove(s.path)
}
