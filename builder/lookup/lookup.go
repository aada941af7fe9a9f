// Package lookup finds the address of a node by its name: by the machine's own resolver, and by
// multicast DNS (RFC 6762) where that does not know it. The program is static and uses no resolver
// library of the system, so NAME.local would not be found otherwise.
//
// An address found this way is a hint and nothing more: anybody in the network may answer. Whether
// it is the node is decided by its ssh host key.
package lookup

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"imgbuild/builder/neterr"
	"imgbuild/init/contract/fault"
)

// Finder finds addresses. The zero value does so as Find does.
type Finder struct {
	System     func(ctx context.Context, host string) ([]string, error) // the machine's resolver
	Interfaces func() ([]net.Interface, error)                          // on which mDNS asks
	Port       int                                                      // of mDNS
	Limit      time.Duration                                            // for mDNS
	Patience   time.Duration                                            // with the resolver, for a name that is not in .local
}

// Found is where a host may be.
type Found struct {
	Addresses []string // in the order in which they are to be tried, IPv6 link-local ones with a zone
	MDNS      bool     // by whom: mDNS, or the machine's resolver
}

// Limit is how long mDNS is asked. A node answers within milliseconds, unless a radio sleeps.
const Limit = 3 * time.Second

// patience is how long the resolver may take until what mDNS has found counts.
const patience = 2 * time.Second

// local is the domain of mDNS.
const local = ".local"

// Find returns the addresses of host, a name or an address.
func Find(ctx context.Context, host string) (Found, error) { return Finder{}.Find(ctx, host) }

// Find is the function Find with the fields of f.
func (f Finder) Find(ctx context.Context, host string) (Found, error) {
	if f.System == nil {
		f.System = net.DefaultResolver.LookupHost
	}
	if f.Interfaces == nil {
		f.Interfaces = lans
	}
	if f.Port == 0 {
		f.Port = 5353
	}
	if f.Limit == 0 {
		f.Limit = Limit
	}
	if f.Patience == 0 {
		f.Patience = patience
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return Found{Addresses: []string{host}}, nil
	}
	name, also := Name(host)
	if !also {
		list, err := f.System(ctx, host)
		return Found{Addresses: list}, err
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), name) {
		return f.both(ctx, host, name, 0)
	}
	return f.both(ctx, host, name, f.Patience)
}

// Name returns the name for which mDNS is asked when host is looked for: NAME.local itself, or that
// of a name without a dot. ok is false for other names.
func Name(host string) (name string, ok bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, isLocal := strings.CutSuffix(host, local)
	if label == "" || len(label) > 63 || strings.Contains(label, ".") || strings.ContainsAny(label, " \\:%/") {
		return "", false
	}
	if !isLocal {
		host += local
	}
	return host, true
}

// both asks the resolver and mDNS at the same time, since many a resolver takes seconds for a name
// that it does not know. The resolver's answer counts if it comes within patience, then the first
// of both.
func (f Finder) both(ctx context.Context, host, name string, patience time.Duration) (Found, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		Found
		err error
	}
	got := make(chan answer, 2)
	go func() {
		list, err := f.System(ctx, host)
		got <- answer{Found{Addresses: list}, err}
	}()
	go func() {
		list, err := f.ask(ctx, name)
		got <- answer{Found{list, true}, err}
	}()
	var errs []error
	var second *Found
	wait := time.After(patience)
	for left := 2; left > 0; {
		select {
		case a := <-got:
			left--
			switch {
			case a.err != nil || len(a.Addresses) == 0:
				errs = append(errs, a.err)
			case !a.MDNS || wait == nil:
				return a.Found, nil
			default:
				second = &a.Found
			}
		case <-wait:
			wait = nil
			if second != nil {
				return *second, nil
			}
		}
	}
	if second != nil {
		return *second, nil
	}
	return Found{}, unknown(host, errs...)
}

func unknown(host string, errs ...error) error {
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, neterr.Words(err))
		}
	}
	slices.Sort(texts) // in the same order, whichever came first
	return fault.Wrap(inWords{strings.Join(texts, ", and "), errors.Join(errs...)}, fault.Network, "look whether it is on and in the same network, or give its address", "the name %s is not known", host)
}

// inWords is an error with a text of its own.
type inWords struct {
	text string
	err  error
}

func (e inWords) Error() string { return e.text }
func (e inWords) Unwrap() error { return e.err }

// lans are the interfaces into a local network.
func lans() ([]net.Interface, error) {
	list, err := net.Interfaces()
	return slices.DeleteFunc(list, func(i net.Interface) bool {
		return i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0
	}), err
}
