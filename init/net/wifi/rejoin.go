package wifi

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"imgbuild/init/contract/fault"
)

// How long a radio may be in a network that gives it no address before it joins again; doubled with
// each failure.
const (
	patient     = 75 * time.Second // a DHCP server that lives has been asked nine times by then
	mostPatient = 10 * time.Minute
)

// repair has a radio join again when it is in a network and gets no address: access points and
// drivers lose keys, and both sides then believe that all is well while no frame gets through. It
// calls again for that, until ctx ends. changed gives a channel that is closed when state may have
// changed; state reports whether the radio is in a network, and whether it has an address.
func Repair(ctx context.Context, changed func() <-chan struct{}, state func() (joined, addressed bool), again func()) {
	pause := patient
	var since time.Time // when it had joined
	for ctx.Err() == nil {
		news := changed()
		joined, addressed := state()
		var late <-chan time.Time
		switch {
		case addressed:
			pause, since = patient, time.Time{}
		case !joined:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
			fallthrough
		default:
			if wait := pause - time.Since(since); wait > 0 {
				late = time.After(wait)
				break
			}
			again()
			pause, since = min(2*pause, mostPatient), time.Time{}
			continue
		}
		select {
		case <-news:
		case <-late:
		case <-ctx.Done():
		}
	}
}

// Rejoin has wpa_supplicant leave the network that a radio is in, and look for the configured ones
// again.
func Rejoin(radio string) error {
	err := order(filepath.Join(ControlDir, radio), "DISCONNECT", "RECONNECT")
	return fault.Wrap(err, fault.Unhealthy, "look with shelf logs wpa_supplicant", "wpa_supplicant takes no orders")
}

// orderWait is for the answer to one order.
const orderWait = 5 * time.Second

// dial opens a control socket of wpa_supplicant, which answers to a socket of our own next to it;
// prefix sets that apart from others.
func dial(path, prefix string) (c *net.UnixConn, hangUp func(), err error) {
	own := filepath.Join(filepath.Dir(path), prefix+filepath.Base(path))
	_ = os.Remove(own)
	c, err = net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, nil, err
	}
	return c, func() { c.Close(); os.Remove(own) }, nil
}

// order sends commands to a control socket; each must be answered with OK.
func order(path string, commands ...string) error {
	c, hangUp, err := dial(path, ".shelf-order-")
	if err != nil {
		return err
	}
	defer hangUp()
	buf := make([]byte, 256)
	for _, command := range commands {
		_ = c.SetDeadline(time.Now().Add(orderWait))
		if _, err := c.Write([]byte(command)); err != nil {
			return err
		}
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		if string(buf[:n]) != "OK\n" {
			return fmt.Errorf("%s is answered with %q", command, buf[:n])
		}
	}
	return nil
}
