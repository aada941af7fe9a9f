package config

// settleItem looks at a whole item whose mistakes would take the node off the network, or into a
// network that nobody meant.
func (d *decoder) settleItem(item *value, k *Key, path string) {
	switch k.Path {
	case "network.interfaces":
		// The address that was left out may have been the only one.
		dhcp, addresses, dhcp6 := item.get("dhcp"), item.get("addresses"), item.get("dhcp6")
		if item.odd && dhcp != nil && dhcp.text == "false" && (addresses == nil || len(addresses.items) == 0) && (dhcp6 == nil || dhcp6.text != "true") {
			item.drop("dhcp")
			d.found.add(dhcp.at, Warning, join(path, "dhcp"), "correct the rest of the item", "a part of this item was left out and it has no address; it asks DHCP all the same")
		}
	case "network.wifi", "k3os.wifi":
		var w WiFi
		if w.refuse(item); w.refused != "" && (item.get("passphrase") == nil || item.get("passphrase").kind != moved) {
			d.found.add(item.at, Error, path, "write its passphrase as passphrase:, or passphrase: '' for an open network", "%s; the network is left out", w.refused)
		}
	}
}

// drop removes an entry while a mapping is being built.
func (v *value) drop(name string) {
	for i, e := range v.entries {
		if e.name == name {
			v.entries = append(v.entries[:i:i], v.entries[i+1:]...)
			return
		}
	}
}
