// Package wifi joins wireless networks: it writes what Debian's wpa_supplicant reads, makes the
// unit that runs it, and reports in words why there is no connection.
//
// wpa_supplicant runs only where a Wi-Fi network is configured and a radio exists. Everything about
// it is under /run: what is taken out of the configuration leaves nothing behind, unlike in k3OS.
package wifi

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"sync"

	"imgbuild/init/contract/config"
)

// Places.
const (
	ConfigFile = "/run/shelf/wpa_supplicant.conf" // 0600
	ControlDir = "/run/wpa_supplicant"
)

var rawKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9A-Fa-f]{64}$`) })

// Config writes wpa_supplicant's configuration (wpa_supplicant.conf(5)): the country and the
// networks. Names are written in hex, so that any byte may be in them. WPA2 is given the key
// that passphrase and name make (IEEE 802.11, annex J.4); WPA3 derives its own from the passphrase
// itself, so that has to be there too. Networks that are not usable are left out.
func Config(country string, networks []config.WiFi) []byte {
	var b bytes.Buffer
	b.WriteString("# written by shelf from network.wifi and k3os.wifi; changes are lost\n")
	fmt.Fprintf(&b, "ctrl_interface=%s\n", ControlDir)
	b.WriteString("ap_scan=1\n")
	if country != "" {
		fmt.Fprintf(&b, "country=%s\n", country)
	}
	for _, w := range networks {
		if w.Usable() != "" {
			continue
		}
		fmt.Fprintf(&b, "network={\n\tssid=%s\n", hex.EncodeToString([]byte(w.Name)))
		if w.Hidden {
			b.WriteString("\tscan_ssid=1\n")
		}
		if w.Priority != 0 {
			fmt.Fprintf(&b, "\tpriority=%d\n", w.Priority)
		}
		switch {
		case w.Passphrase == "":
			b.WriteString("\tkey_mgmt=NONE\n")
		case rawKey().MatchString(w.Passphrase):
			fmt.Fprintf(&b, "\tkey_mgmt=WPA-PSK\n\tieee80211w=1\n\tpsk=%s\n", w.Passphrase)
		default:
			// Management frames are protected where the access point can do it; WPA3 demands it.
			fmt.Fprintf(&b, "\tkey_mgmt=WPA-PSK SAE\n\tieee80211w=1\n\tpsk=%s\n", PMK(w.Name, w.Passphrase))
			// In hex like the name: between quotes, a quote and a # in it make a comment of the
			// rest.
			fmt.Fprintf(&b, "\tsae_password=%s\n", hex.EncodeToString([]byte(w.Passphrase)))
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

// PMK is the key that a passphrase makes for the network of this name: 64 hex digits.
func PMK(name, passphrase string) string {
	key, err := pbkdf2.Key(sha1.New, passphrase, []byte(name), 4096, 32)
	if err != nil { // only a key length beyond all measure
		return ""
	}
	return hex.EncodeToString(key)
}
