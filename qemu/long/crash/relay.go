package main

import (
	"context"
	"io"
	"net"
	"sync"
)

// relay is an address that stays the same while guests come and go. A connection that comes while
// there is none waits, as packets to a machine without power are lost.
type relay struct {
	listener net.Listener

	mu   sync.Mutex
	to   string        // address of the guest's ssh; "" = none
	more chan struct{} // closed at each change, and replaced
}

// newRelay listens on the loopback until ctx ends.
func newRelay(ctx context.Context) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, more: make(chan struct{})}
	context.AfterFunc(ctx, func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(ctx, c)
		}
	}()
	return r, nil
}

// address is what clients connect to.
func (r *relay) address() string { return r.listener.Addr().String() }

// set leads new connections to an address, or has them wait.
func (r *relay) set(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	close(r.more)
	r.more = make(chan struct{})
}

// carry joins a connection with one to the guest, until either ends.
func (r *relay) carry(ctx context.Context, c net.Conn) {
	defer c.Close()
	for {
		r.mu.Lock()
		to, more := r.to, r.more
		r.mu.Unlock()
		if to == "" {
			select {
			case <-more:
				continue
			case <-ctx.Done():
				return
			}
		}
		g, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { c.Close(); g.Close() })()
		go func() {
			_, _ = io.Copy(g, c) // the end of either is the end of both
			g.Close()
		}()
		_, _ = io.Copy(c, g)
		g.Close()
		return
	}
}
