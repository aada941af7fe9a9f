package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Interface is the name of the tunnel inside.
const Interface = "wg0"

// network sets up the loopback, the tunnel and the published ports of the namespace.
func (r Runner) network(ctx context.Context, ns int, t *Tunnel) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(ns), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("the network inside: %w", err)
	}
	context.AfterFunc(ctx, func() { defer guard.Catch(); h.Close() })
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := h.LinkSetUp(lo); err != nil {
		return err
	}
	if t != nil {
		if err := r.raise(ctx, h, ns, *t); err != nil {
			return fault.Wrap(err, fault.Input, "compare the file with the provider's", "the tunnel of %s", r.WireGuard)
		}
	}
	ports, err := r.ports()
	if err != nil {
		return err
	}
	for _, p := range ports {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", p.Port))
		if err != nil {
			return fault.Wrap(err, fault.Input, "choose another port, or stop what uses it", "the port %d", p.Port)
		}
		context.AfterFunc(ctx, func() { defer guard.Catch(); l.Close() })
		guard.Go(func() { relay(l, p, ns) })
	}
	return nil
}

// raise makes the tunnel in the node's network, where its encrypted packets go out, and moves it
// inside, where it is the only way out.
func (r Runner) raise(ctx context.Context, h *netlink.Handle, ns int, t Tunnel) error {
	outside := fmt.Sprintf("shelf-%d", os.Getpid())
	link := &netlink.Wireguard{LinkAttrs: netlink.LinkAttrs{Name: outside, MTU: t.MTU}}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	moved := false
	defer func() {
		if !moved {
			_ = netlink.LinkDel(link)
		}
	}()
	cfg, err := t.config(ctx)
	if err != nil {
		return err
	}
	wg, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer wg.Close()
	if err := wg.ConfigureDevice(outside, cfg); err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	if err := netlink.LinkSetNsFd(link, ns); err != nil {
		return fmt.Errorf("moving it inside: %w", err)
	}
	moved = true
	inside, err := h.LinkByName(outside)
	if err != nil {
		return err
	}
	if err := h.LinkSetName(inside, Interface); err != nil {
		return err
	}
	for _, p := range t.Addresses {
		if err := h.AddrAdd(inside, &netlink.Addr{IPNet: ipnet(p)}); err != nil {
			return fmt.Errorf("its address %v: %w", p, err)
		}
	}
	news := make(chan netlink.LinkUpdate, 16)
	at := netns.NsHandle(ns)
	if err := netlink.LinkSubscribeWithOptions(news, ctx.Done(), netlink.LinkSubscribeOptions{Namespace: &at}); err != nil {
		return err
	}
	if err := h.LinkSetUp(inside); err != nil {
		return err
	}
	if err := routes(h, inside, t); err != nil {
		return err
	}
	guard.Go(func() { // the kernel forgets routes when an interface is down
		for u := range news {
			if u.Attrs().Index == inside.Attrs().Index && u.Attrs().RawFlags&unix.IFF_UP != 0 {
				if err := routes(h, inside, t); err != nil && ctx.Err() == nil {
					r.Say("the routes of the tunnel: %v", err)
				}
			}
		}
	})
	return nil
}

func routes(h *netlink.Handle, inside netlink.Link, t Tunnel) error {
	for _, p := range t.Routes() {
		family := netlink.FAMILY_V4
		if p.Addr().Is6() {
			family = netlink.FAMILY_V6
		}
		has := false
		for _, a := range t.Addresses {
			has = has || a.Addr().Is6() == p.Addr().Is6()
		}
		if !has {
			continue // no address to send from
		}
		if err := h.RouteReplace(&netlink.Route{LinkIndex: inside.Attrs().Index, Dst: ipnet(p), Family: family, Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("the route to %v: %w", p, err)
		}
	}
	return nil
}

func ipnet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// lookupLimit is how long the node's resolver has for the name of an endpoint.
const lookupLimit = 20 * time.Second

// config is the tunnel as the kernel takes it. Names of endpoints are looked up by the node: there
// is no way out inside yet.
func (t Tunnel) config(ctx context.Context) (wgtypes.Config, error) {
	private := wgtypes.Key(t.Private)
	c := wgtypes.Config{PrivateKey: &private, ReplacePeers: true}
	if t.Port != 0 {
		c.ListenPort = &t.Port
	}
	for _, p := range t.Peers {
		peer := wgtypes.PeerConfig{PublicKey: wgtypes.Key(p.Public), ReplaceAllowedIPs: true}
		if p.Shared != (Key{}) {
			shared := wgtypes.Key(p.Shared)
			peer.PresharedKey = &shared
		}
		if p.Keepalive > 0 {
			peer.PersistentKeepaliveInterval = &p.Keepalive
		}
		for _, a := range p.Allowed {
			peer.AllowedIPs = append(peer.AllowedIPs, *ipnet(a))
		}
		if p.Host != "" {
			ctx, cancel := context.WithTimeout(ctx, lookupLimit)
			list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", p.Host)
			cancel()
			if err != nil {
				return c, fmt.Errorf("the endpoint: %w", err)
			}
			peer.Endpoint = &net.UDPAddr{IP: list[0].Unmap().AsSlice(), Port: p.Port}
		}
		c.Peers = append(c.Peers, peer)
	}
	return c, nil
}

// dialLimit is how long the service has to take a connection.
const dialLimit = 10 * time.Second

// relay passes on connections to the loopback inside, and never one from there.
func relay(l net.Listener, p config.Published, ns int) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond) // no descriptor is free
			continue
		}
		from, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok || !admits(p, from.AddrPort().Addr()) {
			c.Close()
			continue
		}
		guard.Go(func() {
			defer c.Close()
			to, err := dialIn(ns, p.Port)
			if err != nil {
				return
			}
			defer to.Close()
			both(c, to)
		})
	}
}

// dialIn connects to a port of the loopback inside. A socket belongs to the network in which its
// thread is when it is made; that thread ends with the goroutine.
func dialIn(ns int, port uint16) (c net.Conn, err error) {
	done := make(chan struct{})
	guard.Go(func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the main thread would not end
			c, err = dialIn(ns, port)
			runtime.UnlockOSThread()
			return
		}
		if err = unix.Setns(ns, unix.CLONE_NEWNET); err == nil {
			c, err = (&net.Dialer{Timeout: dialLimit}).Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		}
	})
	<-done
	return c, err
}

// both copies in both directions until both are at their end.
func both(a, b net.Conn) {
	var wait sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wait.Add(1)
		guard.Go(func() {
			defer wait.Done()
			_, _ = io.Copy(way[0], way[1])
			if t, ok := way[0].(*net.TCPConn); ok {
				_ = t.CloseWrite()
			}
		})
	}
	wait.Wait()
}
