package mdns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Responder is the node's part in mDNS. Its fields are not changed after Run began.
type Responder struct {
	Facts   func() Facts           // what there is to claim now
	Changed func() <-chan struct{} // is closed at the next change of the network
	Report  func(Status)           // gets every change; may be nil
	Say     func(format string, args ...any)
	Port    int // 0: Port

	once sync.Once
	kick chan struct{}
	stop chan chan struct{}

	mu  sync.Mutex
	now Status
}

func (r *Responder) prepare() {
	r.once.Do(func() { r.kick, r.stop = make(chan struct{}, 1), make(chan chan struct{}) })
}

// Kick has it look at Facts again.
func (r *Responder) Kick() {
	r.prepare()
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// Stop takes back what was announced, and ends Run. It waits until that is sent, or ctx ends.
func (r *Responder) Stop(ctx context.Context) {
	r.prepare()
	done := make(chan struct{})
	select {
	case r.stop <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Status returns how the node is known.
func (r *Responder) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.now
	s.Links = append([]string{}, s.Links...)
	return s
}

// Run answers until Stop is called or ctx ends.
func (r *Responder) Run(ctx context.Context) {
	r.prepare()
	d := &driver{r: r, port: r.Port, got: make(chan Packet, backlog), joined: map[int]Link{}}
	if d.port == 0 {
		d.port = Port
	}
	d.m = NewMachine(func(below time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(below))) })
	defer d.shut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := r.Changed()
		d.set(r.Facts())
		for fresh := true; fresh; {
			d.note()
			timer.Stop()
			if at := d.m.Next(); !at.IsZero() {
				timer.Reset(time.Until(at))
			}
			select {
			case p := <-d.got:
				d.send(d.m.Take(time.Now(), p))
			case <-timer.C:
				d.send(d.m.Tick(time.Now()))
			case <-changed:
				fresh = false
			case <-r.kick:
				fresh = false
			case done := <-r.stop:
				d.send(d.m.Bye())
				d.shut()
				close(done)
				return
			case <-ctx.Done():
				d.send(d.m.Bye())
				return
			}
		}
	}
}

// driver is a Run.
type driver struct {
	r      *Responder
	m      *Machine
	port   int
	got    chan Packet
	socks  *sockets
	joined map[int]Link
	failed string // the last failure that was reported
}

// set makes the sockets fit the facts: none is open while there is nothing to answer.
func (d *driver) set(f Facts) {
	if f.Host == "" {
		f.Links = nil
	}
	if len(f.Links) == 0 {
		d.send(d.m.Set(time.Now(), f))
		d.shut()
		return
	}
	if d.socks == nil {
		s, err := open(d.port, d.got)
		if err != nil {
			d.complain("mdns: %v", err)
			return
		}
		d.socks = s
	}
	for index, l := range d.joined {
		if !slices.ContainsFunc(f.Links, func(n Link) bool { return reflect.DeepEqual(n, l) }) {
			delete(d.joined, index)
			if !slices.ContainsFunc(f.Links, func(n Link) bool { return n.Index == index }) {
				d.socks.leave(l)
			}
		}
	}
	for _, l := range f.Links {
		if _, in := d.joined[l.Index]; in {
			continue
		}
		if err := d.socks.join(l); err != nil {
			d.complain("mdns on %s: %v", l.Name, err)
			continue
		}
		d.joined[l.Index] = l
	}
	d.send(d.m.Set(time.Now(), f))
}

// shut closes the sockets.
func (d *driver) shut() {
	if d.socks != nil {
		d.socks.Close()
		d.socks, d.joined = nil, map[int]Link{}
	}
}

func (d *driver) send(list []Out) {
	for _, o := range list {
		if d.socks == nil {
			return
		}
		if err := d.socks.send(o, d.joined[o.Link], uint16(d.port)); err != nil {
			d.complain("mdns: %v", err)
		}
	}
}

// complain reports what goes wrong once, not at every packet.
func (d *driver) complain(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); d.failed != text {
		d.failed = text
		d.r.Say("%s", text)
	}
}

// note publishes how the node is known.
func (d *driver) note() {
	s := Status{Links: []string{}}
	for _, l := range d.m.facts.Links {
		if d.m.Sure(l.Index) {
			s.Links = append(s.Links, l.Name)
		}
	}
	if len(s.Links) > 0 {
		s.Name = d.m.Label() + ".local"
	}
	if by := d.m.Taken(); by.IsValid() {
		s.Taken, s.By = Host(d.m.facts.Host, 1)+".local", by.String()
	}
	d.r.mu.Lock()
	same := reflect.DeepEqual(d.r.now, s)
	d.r.now = s
	d.r.mu.Unlock()
	if !same && d.r.Report != nil {
		d.r.Report(s)
	}
}
