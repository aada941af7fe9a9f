package wifi

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// events interprets a sequence of events. wpa_supplicant reports nothing when WPA3 fails for a
// wrong passphrase; it only tries again and again.
type events struct {
	tries int
	wrong bool // a passphrase is known to be wrong: guesses would only water that down
}

// patience is how many tries in a row mean that it will not be let in.
const patience = 2

// news is the function of that name with a memory.
func (h *events) news(event string) (text string, ok bool) {
	if strings.HasPrefix(event, "SME: Trying to authenticate with ") {
		if h.tries++; h.tries >= patience && !h.wrong {
			return "the access point does not let the node in; the passphrase may be wrong", true
		}
		return "", false
	}
	if strings.HasPrefix(event, "CTRL-EVENT-CONNECTED") {
		h.tries, h.wrong = 0, false
	}
	if strings.HasPrefix(event, "CTRL-EVENT-NETWORK-NOT-FOUND") {
		h.wrong = false
	}
	if strings.HasPrefix(event, "CTRL-EVENT-SSID-TEMP-DISABLED") {
		h.wrong = strings.Contains(event, " reason=WRONG_KEY")
	}
	if h.wrong && strings.HasPrefix(event, "CTRL-EVENT-DISCONNECTED") {
		return "", false
	}
	if h.tries >= patience && strings.HasPrefix(event, "CTRL-EVENT-DISCONNECTED") {
		return "", false // the earlier message has more details
	}
	return news(event)
}

// news reads one event of wpa_supplicant (wpa_ctrl.h) and returns what it means for the connection;
// ok is false when it means nothing. An empty text is a connection.
func news(event string) (text string, ok bool) {
	word, rest, _ := strings.Cut(event, " ")
	switch word {
	case "CTRL-EVENT-CONNECTED":
		return "", true
	case "CTRL-EVENT-SSID-TEMP-DISABLED":
		f := fields(rest)
		name := printable(f["ssid"])
		switch f["reason"] {
		case "WRONG_KEY":
			return fmt.Sprintf("the passphrase of %s is wrong", name), true
		case "CONN_FAILED":
			return fmt.Sprintf("%s lets the node not in; its passphrase may be wrong", name), true
		}
		return fmt.Sprintf("%s lets the node not in", name), true
	case "CTRL-EVENT-NETWORK-NOT-FOUND":
		return "none of the configured Wi-Fi networks is in reach", true
	case "CTRL-EVENT-ASSOC-REJECT", "CTRL-EVENT-AUTH-REJECT":
		f := fields(rest)
		if f["status_code"] == "1" || f["status_code"] == "15" { // SAE: the confirmation does not match
			return "the access point refuses the node; the passphrase may be wrong", true
		}
		return "the access point refuses the node (status " + strconv.Quote(f["status_code"]) + ")", true
	case "CTRL-EVENT-DISCONNECTED":
		return "not in a Wi-Fi network", true
	}
	return "", false
}

// fields takes name=value words apart; a value may be in quotes.
func fields(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(strings.TrimLeft(s, " "), "=")
		if !ok {
			break
		}
		var value string
		if strings.HasPrefix(rest, `"`) {
			end := strings.Index(rest[1:], `"`)
			if end < 0 {
				break
			}
			value, s = rest[1:1+end], rest[2+end:]
		} else {
			value, s, _ = strings.Cut(rest, " ")
		}
		if i := strings.LastIndexByte(name, ' '); i >= 0 {
			name = name[i+1:]
		}
		out[name] = value
	}
	return out
}

// printable returns a network's name, from wpa_supplicant's escapes (\xNN, \", \\), fit for a
// console.
func printable(s string) string {
	if u, err := strconv.Unquote(`"` + s + `"`); err == nil {
		s = u
	} else if raw, err := hex.DecodeString(s); err == nil && len(raw) > 0 {
		s = string(raw)
	}
	return strconv.Quote(s)
}

var firmware = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:Direct firmware load for|firmware: failed to load) (\S+)`)
})

// MissingFirmware looks for the file that a radio's driver asked the kernel for without success, in
// lines of the kernel's log.
func MissingFirmware(lines string) string {
	last := ""
	for line := range strings.Lines(lines) {
		m := firmware().FindStringSubmatch(line)
		if m == nil || !strings.Contains(line, "fail") {
			continue
		}
		for _, word := range []string{"brcm", "cypress", "iwlwifi", "rtw", "rtl", "ath", "mt7", "mediatek", "carl", "libertas", "mrvl"} {
			// Tables next to the firmware (clm_blob, txcap) are missing on many boards, and nothing
			// comes of it.
			if strings.Contains(m[1], word) && !strings.Contains(m[1], "rtl_nic") && !strings.Contains(m[1], "blob") && !strings.Contains(m[1], ".txt") {
				last = m[1]
			}
		}
	}
	return last
}
