// Package control is the line between PID 1 and the people who type shelf: a Unix socket that takes
// one request, a line of JSON, and answers with one. Anyone on the node may ask how it is; orders
// are for root and the group shelf, which the kernel vouches for (SO_PEERCRED).
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// Socket is where PID 1 listens.
const Socket = "/run/shelf.sock"

// Group may give orders, as root may.
const Group = "shelf"

// Request is what is asked. The handler decides about the verbs and their words.
type Request struct {
	Verb   string            `json:"verb"`
	Reason string            `json:"reason,omitempty"`
	Args   map[string]string `json:"args,omitempty"`

	Peer  int           `json:"-"` // process number of the caller, as the kernel reports it; for the handler
	Limit time.Duration `json:"-"` // how long the caller waits for the answer; 0 is 30 s
}

// Response is the answer. Error is empty when all is well.
type Response struct {
	Error string          `json:"error,omitempty"`
	Fix   string          `json:"fix,omitempty"`
	Code  int             `json:"code,omitempty"` // exit code for Error
	Data  json.RawMessage `json:"data,omitempty"`
	Flow  bool            `json:"flow,omitempty"` // bytes follow until the end of the connection; see Flow
}

// Flow is what a handler returns as data when its answer has no end or does not fit into memory:
// write is called with the connection, and ctx ends when the caller has gone.
type Flow func(ctx context.Context, w io.Writer) error

// limit of a request in bytes, and how long a client has for it. Strangers have no long requests.
const (
	requestLimit  = 1 << 20 // a whole config.yaml fits
	strangerLimit = 4 << 10
	requestTime   = 10 * time.Second
	answerTime    = 30 * time.Second // for the answer: a node that is short of memory or CPU is slow, and asked just then
)

// callers is how many of those who may give orders are answered at a time; further ones wait.
// Anybody on the node may call: strangers have places of their own, so that a thousand of them do
// not keep root away, and are sent away when those are taken.
const (
	callers   = 64
	strangers = 16
)

// Handler answers a request. trusted: the caller may give orders.
type Handler func(r Request, trusted bool) (any, error)

// Serve listens on path until the process ends, answering each caller in a goroutine of its own.
func Serve(path string, h Handler) error { return serve(path, h, trusted) }

func serve(path string, h Handler, trusted func(*net.UnixConn) bool) error {
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o666); err != nil { // who may do what is decided by the peer's credentials
		l.Close()
		return err
	}
	known, unknown := make(chan struct{}, callers), make(chan struct{}, strangers)
	guard.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			places, may := unknown, trusted(c)
			if may {
				places = known
				places <- struct{}{}
			} else {
				select {
				case places <- struct{}{}:
				default:
					refuse(c)
					continue
				}
			}
			guard.Go(func() {
				free := sync.OnceFunc(func() { <-places })
				defer free()
				answer(c, h, may, free)
			})
		}
	})
	return nil
}

// refuse sends a caller away immediately: the answer fits into the socket's buffer.
func refuse(c *net.UnixConn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	text, _ := json.Marshal(failed(fault.New(fault.Unhealthy, "ask again in a moment", "too many ask at the same time")))
	_, _ = c.Write(append(text, '\n'))
}

// answer serves one caller. free gives its place to the next one: a flow may go on for days.
func answer(c *net.UnixConn, h Handler, may bool, free func()) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(requestTime))
	limit := int64(strangerLimit)
	if may {
		limit = requestLimit
	}
	line, err := bufio.NewReader(io.LimitReader(c, limit)).ReadBytes('\n')
	var req Request
	var out Response
	var flow Flow
	if err == nil {
		err = json.Unmarshal(line, &req)
	}
	if err != nil {
		out = failed(fault.New(fault.Usage, "", "this is not a request: %v", err))
	} else if data, herr := h(from(c, req), may); herr != nil {
		out = failed(herr)
	} else if f, ok := data.(Flow); ok {
		flow, out.Flow = f, true
	} else if data != nil {
		if out.Data, err = json.Marshal(data); err != nil {
			out = failed(err)
		}
	}
	_ = c.SetDeadline(time.Now().Add(requestTime)) // the handler may have taken its time
	text, _ := json.Marshal(out)
	if _, err := c.Write(append(text, '\n')); err != nil || flow == nil {
		return
	}
	free()
	_ = c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	guard.Go(func() {
		_, _ = io.Copy(io.Discard, c) // ends when the caller does
		cancel()
	})
	_ = flow(ctx, patient{c})
}

// patient gives up on a caller that does not read the answer.
type patient struct{ c *net.UnixConn }

func (p patient) Write(b []byte) (int, error) {
	_ = p.c.SetWriteDeadline(time.Now().Add(requestTime))
	return p.c.Write(b)
}

func failed(err error) Response {
	r := Response{Error: err.Error(), Code: fault.Code(err)}
	var f *fault.Error
	if errors.As(err, &f) && f.Fix != "" {
		r.Error, r.Fix = strings.TrimSuffix(r.Error, "; "+f.Fix), f.Fix
	}
	return r
}

// from notes who asks.
func from(c *net.UnixConn, r Request) Request {
	raw, err := c.SyscallConn()
	if err != nil {
		return r
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			r.Peer = int(cred.Pid)
		}
	})
	return r
}

// trusted reports whether the process at the other end belongs to root or has the group.
func trusted(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return false
	}
	if cred.Uid == 0 {
		return true
	}
	g, err := user.LookupGroup(Group)
	if err != nil {
		return false
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil || int(cred.Gid) == gid {
		return err == nil
	}
	var groups []uint32
	if raw.Control(func(fd uintptr) { groups = peerGroups(fd) }) != nil {
		return false
	}
	return slices.Contains(groups, uint32(gid))
}

// peerGroups returns the further groups that the peer had when it connected (SO_PEERGROUPS,
// socket(7)): asking /proc for its number later could hit another process.
func peerGroups(fd uintptr) []uint32 {
	groups := make([]uint32, 1024)
	size := uint32(len(groups) * 4)
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS, uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return nil
	}
	return groups[:size/4]
}

// Call asks the PID 1 that listens at path and puts its answer's data into data, unless that is
// nil.
func Call(path string, req Request, data any) error {
	c, out, _, err := ask(path, req)
	if err != nil {
		return err
	}
	defer c.Close()
	if data != nil && out.Data != nil {
		return json.Unmarshal(out.Data, data)
	}
	return nil
}

// Stream asks for a Flow and copies it to w until it ends or ctx does, which is not an error.
func Stream(ctx context.Context, path string, req Request, w io.Writer) error {
	c, out, rest, err := ask(path, req)
	if err != nil {
		return err
	}
	defer c.Close()
	if !out.Flow {
		return fault.New(fault.Internal, "", "%s returns no stream", req.Verb)
	}
	_ = c.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() {
		defer guard.Catch()
		c.Close()
	})
	defer stop()
	if _, err := io.Copy(w, rest); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", req.Verb, err)
	}
	return nil
}

// ask sends a request and reads the answer's line; rest is what follows it.
func ask(path string, req Request) (c net.Conn, out Response, rest io.Reader, err error) {
	const silent = "the init program does not answer"
	conn, err := net.DialTimeout("unix", path, answerTime)
	if err != nil {
		return nil, out, nil, fault.Wrap(err, fault.Unhealthy, "look at the console, or reboot the node", "%s", silent)
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	limit := req.Limit
	if limit == 0 {
		limit = answerTime
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	text, err := json.Marshal(req)
	if err != nil {
		return nil, out, nil, err
	}
	// A caller that is sent away finds the connection closed, and the reason waiting to be read.
	_, sent := conn.Write(append(text, '\n'))
	r := bufio.NewReader(conn)
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &out)
	}
	if err != nil {
		return nil, out, nil, fault.Wrap(errors.Join(sent, err), fault.Unhealthy, "", "%s", silent)
	}
	if sent != nil && out.Error == "" {
		return nil, out, nil, fault.Wrap(sent, fault.Unhealthy, "", "%s", silent)
	}
	if out.Error != "" {
		return nil, out, nil, fault.New(fault.Kind(out.Code), out.Fix, "%s", out.Error)
	}
	return conn, out, r, nil
}
