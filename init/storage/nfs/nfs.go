// Package nfs asks an NFS server whether it serves: a NULL call, EXCHANGE_ID of NFS 4.1, and a
// LOOKUP of a path. It mounts nothing, so that a server that hangs cannot block anybody.
//
// Wire formats: RFC 5531 (RPC), RFC 4506 (XDR), RFC 7530 (NFS 4.0), RFC 8881 (NFS 4.1).
package nfs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Numbers of the protocol.
const (
	program, version = 100003, 4
	procNull         = 0
	procCompound     = 1
	opGetFH          = 10
	opLookup         = 15
	opPutRootFH      = 24
	opExchangeID     = 42
	authSys          = 1
	nobody           = 65534
	recordLimit      = 1 << 20
)

// Client is one connection.
type Client struct {
	conn net.Conn
	xid  uint32
}

// Dial connects to an address such as 127.0.0.1:2049. All calls together end with ctx's deadline,
// or after ten seconds.
func Dial(ctx context.Context, address string) (*Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	return &Client{conn: conn, xid: 1}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Null asks for nothing.
func (c *Client) Null() error {
	_, err := c.call(procNull, nil)
	return err
}

// ExchangeID introduces a client of NFS 4.1 that never comes back: the server forgets it with its
// lease.
func (c *Client) ExchangeID() error {
	var verifier [8]byte
	if _, err := rand.Read(verifier[:]); err != nil {
		return err
	}
	x := compound(1, 1)
	x.u32(opExchangeID)
	x.raw(verifier[:])
	x.opaque(append([]byte(probeName), fmt.Sprintf("%x", verifier)...))
	x.u32(0) // flags
	x.u32(0) // SP4_NONE
	x.u32(0) // no implementation id
	_, err := c.compound(x, opExchangeID)
	return err
}

// Lookup walks a path from the server's root and returns the file handle that it ends at.
func (c *Client) Lookup(path string) ([]byte, error) {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	x := compound(0, len(names)+2)
	ops := []uint32{opPutRootFH}
	x.u32(opPutRootFH)
	for _, n := range names {
		x.u32(opLookup)
		x.opaque([]byte(n))
		ops = append(ops, opLookup)
	}
	x.u32(opGetFH)
	r, err := c.compound(x, append(ops, opGetFH)...)
	if err != nil {
		return nil, err
	}
	return r.opaque()
}

// writer makes XDR.
type writer struct{ b []byte }

func (w *writer) u32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) raw(v []byte) { w.b = append(w.b, v...) }
func (w *writer) opaque(v []byte) {
	w.u32(uint32(len(v)))
	w.raw(v)
	w.raw(make([]byte, -len(v)&3))
}

// reader reads XDR.
type reader struct{ b []byte }

var errShort = errors.New("the answer is cut short")

func (r *reader) u32() (uint32, error) {
	if len(r.b) < 4 {
		return 0, errShort
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v, nil
}

func (r *reader) opaque() ([]byte, error) {
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	padded := (uint64(n) + 3) &^ 3
	if padded > uint64(len(r.b)) {
		return nil, errShort
	}
	v := r.b[:n]
	r.b = r.b[padded:]
	return v, nil
}

// compound begins the arguments of a COMPOUND with n operations.
func compound(minor uint32, n int) *writer {
	w := &writer{}
	w.opaque(nil) // tag
	w.u32(minor)
	w.u32(uint32(n))
	return w
}

// compound makes a COMPOUND and reads its results up to the body of the last operation.
func (c *Client) compound(w *writer, ops ...uint32) (*reader, error) {
	r, err := c.call(procCompound, w.b)
	if err != nil {
		return nil, err
	}
	status, err := r.u32()
	if err == nil {
		_, err = r.opaque() // tag
	}
	if err == nil {
		_, err = r.u32() // how many results
	}
	if err != nil {
		return nil, err
	}
	for i, want := range ops {
		op, err := r.u32()
		if err != nil {
			if status != 0 {
				return nil, Status(status)
			}
			return nil, err
		}
		st, err := r.u32()
		if err != nil {
			return nil, err
		}
		if st != 0 {
			return nil, Status(st)
		}
		if op != want {
			return nil, fmt.Errorf("operation %d of the answer is %d, not %d", i, op, want)
		}
	}
	if status != 0 {
		return nil, Status(status)
	}
	return r, nil
}

// Status is an error of NFS 4.
type Status uint32

func (s Status) Error() string {
	names := map[Status]string{1: "not permitted", 2: "no such directory", 5: "I/O error", 13: "access denied", 20: "not a directory", 70: "stale file handle",
		10008: "busy (delay)", 10013: "in its grace period", 10021: "version not served", 10016: "wrong security flavor"}
	if n := names[s]; n != "" {
		return n
	}
	return fmt.Sprintf("NFS error %d", uint32(s))
}

// call makes one RPC as nobody and returns the body of the answer.
func (c *Client) call(procedure uint32, args []byte) (*reader, error) {
	c.xid++
	w := &writer{}
	for _, v := range []uint32{c.xid, 0, 2, program, version, procedure} {
		w.u32(v)
	}
	cred := &writer{}
	cred.u32(0)
	cred.opaque([]byte("shelf"))
	cred.u32(nobody)
	cred.u32(nobody)
	cred.u32(0)
	w.u32(authSys)
	w.opaque(cred.b)
	w.u32(0) // no verifier
	w.u32(0)
	w.raw(args)
	if _, err := c.conn.Write(append(binary.BigEndian.AppendUint32(nil, 1<<31|uint32(len(w.b))), w.b...)); err != nil {
		return nil, err
	}
	body, err := record(c.conn)
	if err != nil {
		return nil, err
	}
	return answer(body, c.xid)
}

// record reads the fragments of one RPC record.
func record(from io.Reader) ([]byte, error) {
	var body []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return nil, err
		}
		mark := binary.BigEndian.Uint32(head[:])
		n := mark &^ (1 << 31)
		if uint64(n)+uint64(len(body)) > recordLimit {
			return nil, errors.New("the answer is too long")
		}
		part := make([]byte, n)
		if _, err := io.ReadFull(from, part); err != nil {
			return nil, err
		}
		if body = append(body, part...); mark>>31 == 1 {
			return body, nil
		}
	}
}

// answer checks the head of an RPC reply.
func answer(body []byte, xid uint32) (*reader, error) {
	r := &reader{body}
	var head [3]uint32
	for i := range head {
		var err error
		if head[i], err = r.u32(); err != nil {
			return nil, err
		}
	}
	if head[0] != xid || head[1] != 1 {
		return nil, errors.New("this is not an answer to the question")
	}
	if head[2] != 0 {
		return nil, errors.New("the server denies the call")
	}
	if _, err := r.u32(); err != nil { // verifier
		return nil, err
	}
	if _, err := r.opaque(); err != nil {
		return nil, err
	}
	accepted, err := r.u32()
	if err == nil && accepted != 0 {
		err = fmt.Errorf("the server does not take the call (%d)", accepted)
	}
	return r, err
}
