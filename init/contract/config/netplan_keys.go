package config

import (
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// What becomes of a key of netplan or of cloud-init's network-config, version 1.
type verdict uint8

const (
	unknownKey verdict = iota // there is no such key
	taken
	idle // it asks for what is so anyway, or for nothing that matters here
	lost // it asks for what a node does not do
)

// foreignRule is a row of the tables below.
type foreignRule struct {
	verdict verdict
	fine    []string // values of a key at which nothing is lost
}

// netplanKeys are the keys of netplan 1.1 and of version 1, by the mapping that they are in. The
// mark after a name is what becomes of it: ! taken, - idle, ? lost, ?=a,b lost unless its value is
// a or b.
var netplanKeys = map[string]string{
	"network": `version! renderer- ethernets! wifis! bonds! bridges! vlans! tunnels? vrfs? modems? dummy-devices? virtual-ethernets? nm-devices? openvswitch?`,
	"device": `renderer- dhcp4! dhcp6! ipv6-mtu? ipv6-privacy?=false link-local?=ipv6 ignore-carrier- critical- dhcp-identifier?=mac
		dhcp4-overrides! dhcp6-overrides! accept-ra! ra-overrides! addresses! ipv6-address-generation?=eui64 ipv6-address-token?
		gateway4! gateway6! nameservers! macaddress?=permanent mtu! optional! optional-addresses- activation-mode? routes!
		routing-policy? neigh-suppress?=false hairpin?=false port-mac-learning?=true openvswitch? networkmanager-`,
	"physical": `match! set-name- wakeonlan?=false emit-lldp?=false receive-checksum-offload? transmit-checksum-offload?
		tcp-segmentation-offload? tcp6-segmentation-offload? generic-segmentation-offload? generic-receive-offload? large-receive-offload?
		auth?`,
	"ethernets":     `link? virtual-function-count? embedded-switch-mode? delay-virtual-functions-rebind? infiniband-mode?`,
	"wifis":         `access-points! wakeonwlan?=default regulatory-domain!`,
	"bonds":         `interfaces! parameters!`,
	"bridges":       `interfaces! parameters!`,
	"vlans":         `id! link!`,
	"match":         `name! macaddress! driver?`,
	"nameservers":   `addresses! search!`,
	"address":       `label? lifetime?=forever`,
	"overrides":     `use-dns! use-routes! route-metric! use-ntp?=true use-mtu?=true send-hostname?=true use-hostname- hostname? use-domains?=true`,
	"ra-overrides":  `use-dns! use-domains?=true table?=254,main`,
	"route":         `to! via! metric! on-link! from? type!=unicast scope?=global table! mtu? congestion-window? advertised-receive-window? advertised-mss?`,
	"access-point":  `password! auth! mode! hidden! bssid? band? channel? networkmanager- psk! passphrase!`,
	"auth":          `key-management! password! method? identity? anonymous-identity? ca-certificate? client-certificate? client-key? client-key-password? phase2-auth? psk!`,
	"bond params":   `mode! lacp-rate?=slow mii-monitor-interval?=100,100ms min-links?=0 transmit-hash-policy?=layer2 ad-select?=stable all-members-active?=false all-slaves-active?=false arp-interval?=0 arp-ip-targets? arp-validate?=none arp-all-targets?=any up-delay?=0 down-delay?=0 fail-over-mac-policy?=none gratuitous-arp?=1 gratuitious-arp?=1 packets-per-member?=1 packets-per-slave?=1 primary-reselect-policy?=always resend-igmp?=1 learn-packet-interval?=1 primary?`,
	"bridge params": `stp?=false ageing-time?=300 aging-time?=300 priority?=32768 port-priority? forward-delay- hello-time- max-age- path-cost?`,

	"v1":               `version! config! renderer-`,
	"v1 device":        `type! name! mac-address! mtu! subnets! accept-ra! optional! wakeonlan?=false keep-configuration-`,
	"v1 bond":          `bond-interfaces! params!`,
	"v1 bridge":        `bridge-interfaces! params!`,
	"v1 vlan":          `vlan-link! vlan-id!`,
	"v1 nameserver":    `type! address! search! interface!`,
	"v1 route":         `type! destination! network! netmask! prefix! gateway! metric! name- id-`,
	"v1 subnet":        `type! address! netmask! prefix! gateway! dns-nameservers! dns-search! routes! metric! control!=auto broadcast- scope- ipv4- ipv6- id- link- pointopoint?`,
	"v1 bond params":   `bond-mode! bond-lacp-rate?=slow,0 bond-miimon?=100 bond-min-links?=0 bond-xmit-hash-policy?=layer2 bond-ad-select?=stable,0 bond-all-slaves-active?=0 bond-arp-interval?=0 bond-arp-ip-target? bond-arp-validate?=none bond-arp-all-targets?=any bond-updelay?=0 bond-downdelay?=0 bond-fail-over-mac?=none,0 bond-num-grat-arp?=1 bond-num-unsol-na?=1 bond-packets-per-slave?=1 bond-primary-reselect?=always bond-resend-igmp?=1 bond-lp-interval?=1 bond-primary? bond-active-slave? bond-queue-id? bond-tlb-dynamic-lb? bond-use-carrier-`,
	"v1 bridge params": `bridge-stp?=false,off bridge-ageing?=300 bridge-bridgeprio?=32768 bridge-portprio? bridge-fd- bridge-gcint- bridge-hello- bridge-hw? bridge-maxage- bridge-maxwait- bridge-pathcost? bridge-ports- bridge-waitport-`,
}

// foreignRules is netplanKeys, read: by mapping, then by folded name.
var foreignRules = sync.OnceValue(func() map[string]map[string]foreignRule {
	out := map[string]map[string]foreignRule{}
	for scope, text := range netplanKeys {
		rules := map[string]foreignRule{}
		for _, word := range strings.Fields(text) {
			word, values, _ := strings.Cut(word, "=")
			name, mark := word[:len(word)-1], word[len(word)-1]
			r := foreignRule{verdict: map[byte]verdict{'!': taken, '-': idle, '?': lost}[mark]}
			if values != "" {
				r.fine = strings.Split(values, ",")
			}
			rules[fold(name)] = r
		}
		out[scope] = rules
	}
	return out
})

// judge reports whether a key of one of the mappings scopes is taken, and reports it by name
// otherwise.
func (t *translator) judge(p pair, path string, scopes ...string) bool {
	var r foreignRule
	for _, s := range scopes {
		if r.verdict == unknownKey {
			r = foreignRules()[s][fold(p.key.Value)]
		}
	}
	switch {
	case r.verdict == taken:
		return true
	case r.verdict == idle:
		t.report(Note, p.key, path, "", "it has no effect here")
	case r.verdict == unknownKey:
		t.report(Warning, p.key, path, "correct the name, or remove it", "there is no such key in this place; it is ignored")
	case !fine(p.value, r.fine):
		t.report(Warning, p.key, path, "remove it, or see docs/network.md for what a node does", "this is not done here; it is ignored")
	}
	return false
}

// fine reports whether a value, or every item of it, is one of a list. Truth values count whatever
// way they are written.
func fine(n *yaml.Node, values []string) bool {
	if len(values) == 0 {
		return false
	}
	for _, item := range list1(n) {
		found := false
		for _, v := range values {
			want, isBool := boolWord(v)
			got, ok := truth(item)
			found = found || strings.EqualFold(item.Value, v) || isBool && ok && got == want
		}
		if !found {
			return false
		}
	}
	return true
}
