package config

// AllWiFi returns the wireless networks of network.wifi, then those of k3os.wifi whose name is not
// among them. Those that are not usable are not among them: no network is joined in another way
// than its item asks for.
func (c *Config) AllWiFi() []WiFi {
	var out []WiFi
	known := map[string]bool{}
	for _, list := range [][]WiFi{c.Network.WiFi, c.K3OS.WiFi} {
		var names []string
		for _, w := range list {
			names = append(names, w.Name)
			if !known[w.Name] && w.Usable() == "" {
				out = append(out, w)
			}
		}
		for _, n := range names {
			known[n] = true
		}
	}
	return out
}

// Usable returns why a network cannot be joined as it is written, "" when it can: a name has 1 to
// 32 bytes, a WPA passphrase 8 to 63 bytes or 64 hex digits (IEEE 802.11).
func (w WiFi) Usable() string {
	switch p := w.Passphrase; {
	case w.refused != "":
		return w.refused
	case w.Name == "" || len(w.Name) > 32:
		return "its name must have 1 to 32 bytes"
	case p != "" && !hexKey.MatchString(p) && (len(p) < 8 || len(p) > 63):
		return "its passphrase must have 8 to 63 characters"
	}
	return ""
}

// refuse looks at the decoded item of a network for what would make an open one of a network that
// has a passphrase.
func (w *WiFi) refuse(item *value) {
	switch v := item.get("passphrase"); {
	case v == nil && item.odd:
		w.refused = "an unknown key in it may be its passphrase"
	case v != nil && v.kind == moved:
		w.refused = "its passphrase was blanked and is lost"
	case v != nil && v.kind != scalar:
		w.refused = "its passphrase is empty"
	}
}
