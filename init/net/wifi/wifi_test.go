package wifi

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// The vectors of IEEE 802.11-2012, annex M.4.3.
func TestPMK(t *testing.T) {
	for _, c := range []struct{ name, passphrase, key string }{
		{"IEEE", "password", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"},
		{"ThisIsASSID", "ThisIsAPassword", "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"},
	} {
		if got := PMK(c.name, c.passphrase); got != c.key {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestConfig(t *testing.T) {
	got := string(Config("DE", []config.WiFi{
		{Name: "IEEE", Passphrase: "password", Priority: 5, Hidden: true},
		{Name: "café", Passphrase: `say "hi" \n`},
		{Name: "open"},
		{Name: "raw", Passphrase: strings.Repeat("0a", 32)},
		{Name: strings.Repeat("x", 33), Passphrase: "too long a name"},
	}))
	_, got, _ = strings.Cut(got, "\n")
	want := `ctrl_interface=/run/wpa_supplicant
ap_scan=1
country=DE
network={
	ssid=49454545
	scan_ssid=1
	priority=5
	key_mgmt=WPA-PSK SAE
	ieee80211w=1
	psk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e
	sae_password=70617373776f7264
}
network={
	ssid=636166c3a9
	key_mgmt=WPA-PSK SAE
	ieee80211w=1
	psk=` + PMK("café", `say "hi" \n`) + `
	sae_password=7361792022686922205c6e
}
network={
	ssid=6f70656e
	key_mgmt=NONE
}
network={
	ssid=726177
	key_mgmt=WPA-PSK
	ieee80211w=1
	psk=0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a
}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(string(Config("", nil)), "country") {
		t.Error("a country without one")
	}
}

// Whatever is in the configuration, no line of the file is anybody's but ours.
func FuzzConfig(f *testing.F) {
	f.Add("home", "correct horse", "DE")
	f.Add("a\nb", "x\n}\nnetwork={", "")
	f.Fuzz(func(t *testing.T, name, passphrase, country string) {
		text := string(Config("DE", []config.WiFi{{Name: name, Passphrase: passphrase}}))
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			word, _, _ := strings.Cut(line, "=")
			switch word {
			case "ctrl_interface", "ap_scan", "country", "network", "ssid", "scan_ssid", "priority", "key_mgmt", "ieee80211w", "psk", "sae_password", "}":
			default:
				if !strings.HasPrefix(line, "#") {
					t.Errorf("line %q", line)
				}
			}
		}
		if n := strings.Count(text, "\n"); n > 12 {
			t.Errorf("%d lines", n)
		}
	})
}

func TestNews(t *testing.T) {
	for event, want := range map[string]string{
		`CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:00:00 completed [id=0 id_str=]`:                      "",
		`CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="my \"home\"" auth_failures=1 duration=10 reason=WRONG_KEY`:   "",
		`CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=WRONG_KEY`:          `the passphrase of "home" is wrong`,
		`CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="caf\xc3\xa9" auth_failures=2 duration=20 reason=CONN_FAILED`: `"café" lets the node not in; its passphrase may be wrong`,
		`CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=15`:               "the access point refuses the node; the passphrase may be wrong",
		`CTRL-EVENT-NETWORK-NOT-FOUND `:                                                "none of the configured Wi-Fi networks is in reach",
		`CTRL-EVENT-ASSOC-REJECT bssid=02:00:00:00:00:00 status_code=17`:               `the access point refuses the node (status "17")`,
		`CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:00:00 reason=3 locally_generated=1`: "not in a Wi-Fi network",
	} {
		got, ok := news(event)
		if !ok || want != "" && got != want {
			t.Errorf("%s: %q %v, want %q", event, got, ok, want)
		}
	}
	if _, ok := news("CTRL-EVENT-SCAN-STARTED "); ok {
		t.Error("a scan is news")
	}
}

// WPA3 with a wrong passphrase, then with the right one.
func TestEvents(t *testing.T) {
	var h events
	last := "nothing"
	check := func(event, want string) {
		t.Helper()
		if text, ok := h.news(event); ok {
			last = text
		}
		if last != want {
			t.Errorf("after %s it is %q, want %q", event, last, want)
		}
	}
	const try = "SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='shelf' freq=2412 MHz)"
	check(try, "nothing")
	check(try, "the access point does not let the node in; the passphrase may be wrong")
	check("CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3", "the access point does not let the node in; the passphrase may be wrong")
	check("CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]", "")
	check(try, "")
	// WPA2 knows for sure, and goes on trying.
	const wrong = `the passphrase of "home" is wrong`
	check(`CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=WRONG_KEY`, wrong)
	check(try, wrong)
	check("CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15", wrong)
	check(try, wrong)
	check("CTRL-EVENT-NETWORK-NOT-FOUND ", "none of the configured Wi-Fi networks is in reach")
}

func FuzzNews(f *testing.F) {
	f.Add(`CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=WRONG_KEY`)
	f.Add(`CTRL-EVENT-SSID-TEMP-DISABLED ssid="`)
	f.Fuzz(func(t *testing.T, event string) {
		if text, _ := news(event); strings.ContainsAny(text, "\n\x1b\x00") {
			t.Errorf("%q reaches the console", text)
		}
	})
}

func TestMissingFirmware(t *testing.T) {
	log := `usb 1-1: Direct firmware load for rtl_nic/rtl8153a-4.fw failed with error -2
brcmfmac mmc1:0001:1: Direct firmware load for brcm/brcmfmac43455-sdio.raspberrypi,4-model-b.bin failed with error -2
brcmfmac mmc1:0001:1: Direct firmware load for brcm/brcmfmac43455-sdio.bin failed with error -2
brcmfmac mmc1:0001:1: Direct firmware load for brcm/brcmfmac43455-sdio.clm_blob failed with error -2
`
	if got := MissingFirmware(log); got != "brcm/brcmfmac43455-sdio.bin" {
		t.Errorf("found %q", got)
	}
	if got := MissingFirmware("eth0: link up\n"); got != "" {
		t.Errorf("found %q", got)
	}
}

// A supplicant that reports an event, and goes away.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wlan0")
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reports := make(chan string, 4)
	over := make(chan error, 1)
	go func() { over <- listen(context.Background(), path, func(text string) { reports <- text }) }()
	buf := make([]byte, 100)
	n, from, err := s.ReadFromUnix(buf)
	if err != nil || string(buf[:n]) != "ATTACH" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	for _, text := range []string{"OK\n", "<3>CTRL-EVENT-SCAN-STARTED ", "<3>CTRL-EVENT-NETWORK-NOT-FOUND ", "<3>CTRL-EVENT-TERMINATING"} {
		if _, err := s.WriteToUnix([]byte(text), from); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-reports; !strings.Contains(got, "in reach") {
		t.Errorf("reported %q", got)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v, want length 1", left)
	}
}

func TestUnblock(t *testing.T) {
	dir := t.TempDir()
	for name, kind := range map[string]string{"rfkill0": "wlan\n", "rfkill1": "bluetooth\n"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"type": kind, "soft": "1"} {
			if err := os.WriteFile(filepath.Join(dir, name, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	unblock(dir)
	for name, want := range map[string]string{"rfkill0": "0", "rfkill1": "1"} {
		if got, _ := os.ReadFile(filepath.Join(dir, name, "soft")); string(got) != want {
			t.Errorf("%s is %s", name, got)
		}
	}
}
