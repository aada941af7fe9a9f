package confine

import (
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
)

// Key is a key of WireGuard.
type Key [32]byte

// Tunnel is a WireGuard interface as wg-quick(8) describes it in a file.
type Tunnel struct {
	Private   Key
	Port      int // 0: any
	Addresses []netip.Prefix
	DNS       []netip.Addr
	Search    []string
	MTU       int // 0: 1420
	Peers     []Peer
}

// Peer is the other end.
type Peer struct {
	Public    Key
	Shared    Key // zero for none
	Allowed   []netip.Prefix
	Host      string // of the endpoint, a name or an address; empty for none
	Port      int
	Keepalive time.Duration
}

// commands are the keys whose values wg-quick runs as root.
var commands = []string{"preup", "postup", "predown", "postdown"}

// idle are keys that mean something to wg-quick only: a namespace of its own needs neither rules
// nor marks.
var idle = []string{"table", "fwmark", "saveconfig"}

// ParseTunnel reads a provider's file. A file that would run commands, or that has a key that
// nobody knows, is refused with the line.
func ParseTunnel(text string) (t Tunnel, err error) {
	section, number := "", 0
	bad := func(fix, format string, args ...any) (Tunnel, error) {
		return Tunnel{}, fault.New(fault.Input, fix, "line %d of the WireGuard file: "+format, append([]any{number}, args...)...)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.ToLower(strings.Trim(line, "[] \t"))
			switch {
			case section == "peer":
				t.Peers = append(t.Peers, Peer{})
			case section != "interface" || seen[section]:
				return bad("keep one [Interface] and its [Peer] sections", "the section %s", line)
			}
			seen[section] = true
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || section == "" {
			return bad("write KEY = VALUE below [Interface] or [Peer]", "it is not a setting")
		}
		if slices.Contains(commands, key) {
			return bad("remove it: the node makes the tunnel itself", "%s would run a command", strings.TrimSpace(line[:len(key)]))
		}
		var wrong bool
		if section == "interface" {
			wrong, ok = t.set(key, value)
		} else {
			wrong, ok = t.Peers[len(t.Peers)-1].set(key, value)
		}
		switch {
		case !ok:
			return bad("remove it, or correct its name", "nobody knows the key %s of [%s]", key, section)
		case wrong: // the value may be a secret
			return bad("copy it from the provider's file again", "the value of %s cannot be read", key)
		}
	}
	number = 0
	switch {
	case t.Private == Key{}:
		return Tunnel{}, fault.New(fault.Input, "use the file of the provider as it is", "the WireGuard file has no PrivateKey")
	case len(t.Addresses) == 0:
		return Tunnel{}, fault.New(fault.Input, "use the file of the provider as it is", "the WireGuard file has no Address")
	case len(t.Peers) == 0 || slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.Public == Key{} }):
		return Tunnel{}, fault.New(fault.Input, "use the file of the provider as it is", "the WireGuard file has no [Peer] with a PublicKey")
	}
	return t, nil
}

// set takes a setting of [Interface]; ok is false for a key that nobody knows.
func (t *Tunnel) set(key, value string) (wrong, ok bool) {
	var err error
	switch key {
	case "privatekey":
		t.Private, err = parseKey(value)
	case "listenport":
		t.Port, err = parsePort(value)
	case "mtu":
		t.MTU, err = strconv.Atoi(value)
		wrong = err == nil && (t.MTU < 576 || t.MTU > 65535)
	case "address":
		err = prefixes(&t.Addresses, value, false)
	case "dns":
		for _, item := range items(value) {
			if a, aerr := netip.ParseAddr(item); aerr == nil {
				t.DNS = append(t.DNS, a)
			} else {
				t.Search = append(t.Search, item)
				wrong = wrong || strings.ContainsAny(item, " \t\\") || item == ""
			}
		}
	default:
		return false, slices.Contains(idle, key)
	}
	return wrong || err != nil, true
}

// set takes a setting of [Peer].
func (p *Peer) set(key, value string) (wrong, ok bool) {
	var err error
	switch key {
	case "publickey":
		p.Public, err = parseKey(value)
	case "presharedkey":
		p.Shared, err = parseKey(value)
	case "allowedips":
		err = prefixes(&p.Allowed, value, true)
	case "endpoint":
		var port string
		if p.Host, port, err = net.SplitHostPort(value); err == nil {
			p.Port, err = parsePort(port)
		}
		wrong = err == nil && (p.Host == "" || p.Port == 0 || strings.ContainsAny(p.Host, " \t/"))
	case "persistentkeepalive":
		if value != "off" {
			var seconds int
			seconds, err = strconv.Atoi(value)
			wrong = err == nil && (seconds < 0 || seconds > 65535)
			p.Keepalive = time.Duration(seconds) * time.Second
		}
	default:
		return false, false
	}
	return wrong || err != nil, true
}

func items(value string) (list []string) {
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// prefixes reads addresses with or without a length.
func prefixes(list *[]netip.Prefix, value string, masked bool) error {
	for _, item := range items(value) {
		p, err := netip.ParsePrefix(item)
		if err != nil {
			a, aerr := netip.ParseAddr(item)
			if aerr != nil || a.Zone() != "" {
				return err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if masked {
			p = p.Masked()
		}
		*list = append(*list, p)
	}
	return nil
}

func parseKey(value string) (k Key, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(value)
	if err == nil && len(b) != len(k) {
		err = base64.CorruptInputError(len(b))
	}
	copy(k[:], b)
	return k, err
}

func parsePort(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	return int(n), err
}

// Routes are the networks behind the tunnel.
func (t Tunnel) Routes() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range t.Peers {
		for _, a := range p.Allowed {
			if !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// ResolvConf is resolv.conf inside: the tunnel's name servers and no others.
func (t Tunnel) ResolvConf() string {
	var b strings.Builder
	for _, a := range t.DNS {
		b.WriteString("nameserver " + a.String() + "\n")
	}
	if len(t.Search) > 0 {
		b.WriteString("search " + strings.Join(t.Search, " ") + "\n")
	}
	return b.String()
}
