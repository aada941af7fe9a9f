package migrate

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"imgbuild/init/config"

	"gopkg.in/yaml.v3"
)

// keyFile is a file of connman's: sections of keys, in order.
type keyFile []section

type section struct {
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
			f = append(f, section{line[1 : len(line)-1], map[string]string{}})
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

var serviceDir = regexp.MustCompile(`^(ethernet|wifi)_([0-9a-f]{12})_`)

// network is what connman knew that a node of ours has to be told.
type network struct {
	config.Network
	notes []string
}

// add takes over one file: name is its path below connman's directory. Both kinds of files are read, those that people write
// (NAME.config) and those that connman keeps of each network (SERVICE/settings).
func (n *network) add(name, text string) {
	kept := path.Base(name) == "settings"
	for _, s := range parseKeys(text) {
		service := serviceDir.FindStringSubmatch(s.name)
		if kept && service == nil || !kept && !strings.HasPrefix(s.name, "service_") {
			continue
		}
		wifi := s.keys["Type"] == "wifi" || service != nil && service[1] == "wifi"
		if wifi {
			n.wifi(name, s)
		}
		i := config.Interface{Name: s.keys["DeviceName"]}
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
			n.notes = append(n.notes, fmt.Sprintf("connman's %s: %v; set it under network: yourself", name, err))
			continue
		}
		if len(i.Addresses) == 0 {
			continue // DHCP, as everywhere
		}
		for _, list := range []struct {
			text string
			to   *[]string
		}{{s.keys["Nameservers"], &i.DNS}, {s.keys["SearchDomains"] + ";" + s.keys["Domains"], &i.Search}} {
			for _, word := range strings.FieldsFunc(list.text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
				*list.to = append(*list.to, word)
			}
		}
		if i.MAC == "" && i.Name == "" {
			i.Name = "auto"
			if wifi {
				i.Name = "wlan0"
			}
		}
		same := func(o config.Interface) bool { return o.MAC == i.MAC && o.Name == i.Name }
		if slices.ContainsFunc(n.Interfaces, same) {
			n.notes = append(n.notes, fmt.Sprintf("connman's %s gives an address to an interface that has one already; it is left", name))
			continue
		}
		n.Interfaces = append(n.Interfaces, i)
	}
}

func (n *network) wifi(name string, s section) {
	w := config.WiFi{Name: s.keys["Name"], Passphrase: s.keys["Passphrase"], Hidden: s.keys["Hidden"] == "true"}
	if raw, err := hex.DecodeString(s.keys["SSID"]); err == nil && len(raw) > 0 {
		w.Name = string(raw)
	}
	switch {
	case w.Name == "":
		return
	case s.keys["EAP"] != "" || s.keys["Identity"] != "":
		n.notes = append(n.notes, fmt.Sprintf("connman's %s: the network %q asks for a user name, which is not supported; it is left", name, w.Name))
	case !slices.ContainsFunc(n.WiFi, func(o config.WiFi) bool { return o.Name == w.Name }):
		n.WiFi = append(n.WiFi, w)
	}
}

// writtenAddresses reads IPv4 = ADDRESS/MASK/GATEWAY and IPv6 = ADDRESS/LENGTH/GATEWAY.
func writtenAddresses(i *config.Interface, keys map[string]string) error {
	for _, key := range []string{"IPv4", "IPv6"} {
		v := keys[key]
		if !strings.Contains(v, "/") {
			continue // dhcp, auto, off
		}
		f := strings.Split(v, "/")
		if err := addAddress(i, f[0], f[1], strings.Join(f[2:], "/")); err != nil {
			return fmt.Errorf("%s=%s: %w", key, v, err)
		}
	}
	return nil
}

func keptAddresses(i *config.Interface, keys map[string]string) error {
	for _, key := range []string{"IPv4", "IPv6"} {
		if keys[key+".method"] != "manual" {
			continue
		}
		if err := addAddress(i, keys[key+".local_address"], keys[key+".netmask_prefixlen"], keys[key+".gateway"]); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func addAddress(i *config.Interface, address, mask, gateway string) error {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is no address", address)
	}
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() {
		b := m.As4()
		ones, bits := net.IPv4Mask(b[0], b[1], b[2], b[3]).Size()
		if bits == 0 {
			return fmt.Errorf("%q is no network mask", mask)
		}
		mask = fmt.Sprint(ones)
	}
	p, err := netip.ParsePrefix(a.String() + "/" + mask)
	if err != nil {
		return fmt.Errorf("%q is no network mask", mask)
	}
	if gateway != "" && gateway != "0.0.0.0" && gateway != "::" {
		g, err := netip.ParseAddr(gateway)
		if err != nil {
			return fmt.Errorf("%q is no gateway", gateway)
		}
		if i.Gateway == "" {
			i.Gateway = g.String()
		}
	}
	i.Addresses = append(i.Addresses, p.String())
	return nil
}

// without takes the wireless networks out that the node's configuration names itself.
func (n *network) without(known []config.WiFi) {
	n.WiFi = slices.DeleteFunc(n.WiFi, func(w config.WiFi) bool {
		return slices.ContainsFunc(known, func(k config.WiFi) bool { return k.Name == w.Name })
	})
}

// yaml gives the cloud-config that says the same; nil when there is nothing to say.
func (n *network) yaml() ([]byte, error) {
	if len(n.Interfaces) == 0 && len(n.WiFi) == 0 {
		return nil, nil
	}
	text, err := yaml.Marshal(map[string]config.Network{"network": n.Network})
	return append([]byte("# What connman had on the card this node was migrated from.\n"), text...), err
}
