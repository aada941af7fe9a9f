package wifi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/qemu/tool"
)

// read returns what Debian's wpa_supplicant makes of a configuration: the number of networks, and
// what it complains about. It ends because there is no such interface, which it notices after
// reading.
func read(t *testing.T, program, text string) (networks int, complaints []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "wpa_supplicant.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(program, "-c", file, "-i", "nosuch0", "-D", "wired", "-d").CombinedOutput()
	if !strings.Contains(string(out), "Reading configuration file") {
		t.Fatalf("it did not read: %s", out)
	}
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "   id="):
			networks++
		case strings.HasPrefix(line, "Line "), strings.Contains(line, "Failed to read or parse"), strings.Contains(line, "Invalid"):
			complaints = append(complaints, strings.TrimSpace(line))
		}
	}
	return networks, complaints
}

// With any configuration, the real wpa_supplicant takes the file, with every network that is
// to be joined.
func TestWpaSupplicantReads(t *testing.T) {
	program := tool.Path(t, "wpa_supplicant")
	if _, complaints := read(t, program, "country=Germany\nnetwork={\n\tssid=6162\n\tpsk=\"abc\"\n}\n"); len(complaints) == 0 {
		t.Fatal("it complains about nothing")
	}
	r := rand.New(rand.NewPCG(21, 9))
	letters := []rune("abcXYZ0189 #\"'\\{}=:;,~`$%&|<>\t\u00e4\u20ac\U0001f4f6\x01\n")
	text := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	countries := []string{"DE", "de", "Germany", "D", "00", "D1", "", "\u00c4\u00d6", "US\n"}
	for range 12 {
		var list []map[string]any
		for range 25 {
			w := map[string]any{"name": text(r.IntN(36))}
			switch r.IntN(8) {
			case 0: // open
			case 1:
				w["passphrase"] = strings.Repeat("0aF9", 16)
			case 2:
				w["passphrase"] = strings.Repeat("0aFg", 16) // 64, and not hexadecimal
			default:
				w["passphrase"] = text(r.IntN(70))
			}
			if r.IntN(3) == 0 {
				w["priority"] = r.IntN(1<<31-1) - 1<<30
			}
			if r.IntN(3) == 0 {
				w["hidden"] = true
			}
			list = append(list, w)
		}
		source, err := json.Marshal(map[string]any{"network": map[string]any{"country": countries[r.IntN(len(countries))], "wifi": list}})
		if err != nil {
			t.Fatal(err)
		}
		layer, problems := config.Parse("config.yaml", source)
		cfg, _ := config.Merge(layer)
		want := len(cfg.AllWiFi())
		generated := string(Config(cfg.Network.Country, cfg.AllWiFi()))
		got, complaints := read(t, program, generated)
		if got != want || want == 0 || len(complaints) > 0 {
			t.Errorf("it takes %d networks of %d and complains %q about\n%s%v", got, want, complaints, generated, problems)
		}
		for _, w := range cfg.AllWiFi() {
			if open := fmt.Sprintf("ssid=%x\n\tkey_mgmt=NONE", w.Name); w.Passphrase != "" && strings.Contains(generated, open) {
				t.Errorf("the network %q is open", w.Name)
			}
		}
	}
}
