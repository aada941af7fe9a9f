package config

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// keyFile is a file of connman's: sections of keys, in order.
type keyFile []keySection

type keySection struct {
	name string
	keys map[string]string
}

// parseKeys reads a key file (the desktop entry format). Lines that are none are skipped.
func parseKeys(text string) (f keyFile) {
	s := bufio.NewScanner(strings.NewReader(text))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") && len(line) > 2 {
			f = append(f, keySection{line[1 : len(line)-1], map[string]string{}})
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || len(f) == 0 {
			continue
		}
		f[len(f)-1].keys[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return f
}

var connmanService = pattern{text: `^(ethernet|wifi)_([0-9a-f]{12})_`}

// ConnmanService reports whether a name is that of a directory that connman keeps of a network.
func ConnmanService(name string) bool { return connmanService.MatchString(name) }

// Connman is the content of the files of connman, k3OS's network manager: k3OS had no other way to
// an address of one's own.
type Connman struct {
	Network
	Notes []string // what could not be taken over
}

// Add takes over one file: name is its path below connman's directory. Both kinds of files are
// read, those that people write (NAME.config) and those that connman keeps of each network
// (SERVICE/settings).
func (n *Connman) Add(name, text string) {
	kept := path.Base(name) == "settings"
	for _, s := range parseKeys(text) {
		service := connmanService.compiled().FindStringSubmatch(s.name)
		if kept && service == nil || !kept && !strings.HasPrefix(s.name, "service_") {
			continue
		}
		wifi := s.keys["Type"] == "wifi" || service != nil && service[1] == "wifi"
		if wifi {
			n.network(name, s)
		}
		i := Interface{Name: s.keys["DeviceName"]}
		if service != nil {
			mac, _ := hex.DecodeString(service[2])
			i.MAC = net.HardwareAddr(mac).String()
		} else if mac, err := net.ParseMAC(s.keys["MAC"]); err == nil && len(mac) == 6 {
			i.MAC = mac.String()
		}
		var err error
		if kept {
			err = keptAddresses(&i, s.keys)
		} else {
			err = writtenAddresses(&i, s.keys)
		}
		if err != nil {
			n.Notes = append(n.Notes, fmt.Sprintf("connman's %s: %v; set it under network: yourself", name, err))
			continue
		}
		if len(i.Addresses) == 0 {
			continue // DHCP, as everywhere
		}
		for _, list := range []struct {
			text string
			to   *[]string
		}{{s.keys["Nameservers"], &i.DNS}, {s.keys["SearchDomains"] + ";" + s.keys["Domains"], &i.Search}} {
			*list.to = append(*list.to, strings.FieldsFunc(list.text, func(r rune) bool { return strings.ContainsRune(",; ", r) })...)
		}
		i.DNS = slices.DeleteFunc(i.DNS, func(word string) bool { _, err := netip.ParseAddr(word); return err != nil })
		if i.MAC == "" && i.Name == "" {
			i.Name = "auto"
			if wifi {
				i.Name = "wlan0"
			}
		}
		same := func(o Interface) bool { return o.MAC == i.MAC && o.Name == i.Name }
		if slices.ContainsFunc(n.Interfaces, same) {
			n.Notes = append(n.Notes, fmt.Sprintf("connman's %s gives an address to an interface that has one already; it is left", name))
			continue
		}
		n.Interfaces = append(n.Interfaces, i)
	}
}

func (n *Connman) network(name string, s keySection) {
	hidden, _ := Truth(s.keys["Hidden"])
	w := WiFi{Name: s.keys["Name"], Passphrase: s.keys["Passphrase"], Hidden: hidden}
	if raw, err := hex.DecodeString(s.keys["SSID"]); err == nil && len(raw) > 0 {
		w.Name = string(raw)
	}
	switch {
	case w.Name == "":
		return
	case s.keys["EAP"] != "" || s.keys["Identity"] != "":
		n.Notes = append(n.Notes, fmt.Sprintf("connman's %s: the network %q asks for a user name, which is not supported; it is left", name, w.Name))
	case w.Passphrase == "" && protected(s):
		n.Notes = append(n.Notes, fmt.Sprintf("connman's %s: the network %q has a passphrase that is not there; it is left", name, w.Name))
	case !slices.ContainsFunc(n.WiFi, func(o WiFi) bool { return o.Name == w.Name }):
		n.WiFi = append(n.WiFi, w)
	}
}

// protected reports whether a network is not an open one, by its security or, in what connman
// keeps, by its name.
func protected(s keySection) bool {
	kind := strings.ToLower(s.keys["Security"])
	if kind == "" {
		kind = s.name[strings.LastIndexByte(s.name, '_')+1:]
		return kind == "psk" || kind == "wep" || kind == "ieee8021x"
	}
	return kind != "none"
}

// writtenAddresses reads IPv4 = ADDRESS/MASK/GATEWAY and IPv6 = ADDRESS/LENGTH/GATEWAY.
func writtenAddresses(i *Interface, keys map[string]string) error {
	for _, key := range []string{"IPv4", "IPv6"} {
		v := keys[key]
		if !strings.Contains(v, "/") { // dhcp, auto, off
			i.DHCP = i.DHCP || key == "IPv4" && v != "off"
			continue
		}
		f := strings.Split(v, "/")
		if err := addAddress(i, f[0], f[1], strings.Join(f[2:], "/")); err != nil {
			return fmt.Errorf("%s=%s: %w", key, v, err)
		}
	}
	return nil
}

func keptAddresses(i *Interface, keys map[string]string) error {
	for _, key := range []string{"IPv4", "IPv6"} {
		if keys[key+".method"] != "manual" {
			i.DHCP = i.DHCP || key == "IPv4" && keys[key+".method"] != "off"
			continue
		}
		if err := addAddress(i, keys[key+".local_address"], keys[key+".netmask_prefixlen"], keys[key+".gateway"]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func addAddress(i *Interface, address, mask, gateway string) error {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is not an address", address)
	}
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() {
		b := m.As4()
		ones, bits := net.IPv4Mask(b[0], b[1], b[2], b[3]).Size()
		if bits == 0 {
			return fmt.Errorf("%q is not a network mask", mask)
		}
		mask = fmt.Sprint(ones)
	}
	p, err := netip.ParsePrefix(a.String() + "/" + mask)
	if err != nil {
		return fmt.Errorf("%q is not a network mask", mask)
	}
	if gateway != "" && gateway != "0.0.0.0" && gateway != "::" {
		g, err := netip.ParseAddr(gateway)
		if err != nil {
			return fmt.Errorf("%q is not a gateway", gateway)
		}
		if g.Is4() {
			i.Gateway = g.String()
		} else {
			i.Gateway6 = g.String()
		}
	}
	i.Addresses = append(i.Addresses, p.String())
	return nil
}

// connmanDir is where k3OS looked for files that give an interface an address.
const connmanDir = "/var/lib/connman/"

// connman reads the files of write_files that k3OS had for connman, and the items that they are.
func (c *Config) connman() (n Connman, items []int) {
	for i, f := range c.WriteFiles {
		name, ok := strings.CutPrefix(path.Clean(f.Path), connmanDir)
		if !ok || path.Ext(name) != ".config" || strings.Contains(name, "/") {
			continue
		}
		if data, err := f.Data(); err == nil {
			n.Add(name, string(data))
			items = append(items, i)
		}
	}
	return n, items
}

// takeConnman makes write_files' files for connman part of the network. Our own sections count
// before them.
func (c *Config) takeConnman() {
	n, _ := c.connman()
	if len(c.Network.Interfaces) == 0 {
		c.Network.Interfaces = n.Interfaces
	}
	known := c.AllWiFi()
	for _, w := range n.WiFi {
		if !slices.ContainsFunc(known, func(k WiFi) bool { return k.Name == w.Name }) {
			c.K3OS.WiFi = append(slices.Clip(c.K3OS.WiFi), w)
		}
	}
}

// checkConnman reports what became of the files for connman.
func (k *checker) checkConnman() {
	n, items := k.c.connman()
	if len(items) == 0 {
		return
	}
	at := index("write_files", items[0]) + ".path"
	for _, note := range n.Notes {
		k.report(Warning, at, "write it under network.interfaces", "%s", note)
	}
	for _, i := range n.Interfaces {
		s := func(o Interface) bool {
			return o.Name == i.Name && o.MAC == i.MAC && slices.Equal(o.Addresses, i.Addresses)
		}
		if slices.ContainsFunc(k.c.Network.Interfaces, s) {
			k.report(Note, at, "write it under network.interfaces", "there is no connman here; its address %s is taken over", strings.Join(i.Addresses, ", "))
		} else {
			k.report(Warning, at, "remove it", "there is no connman here, and network.interfaces counts before its address %s", strings.Join(i.Addresses, ", "))
		}
	}
}
