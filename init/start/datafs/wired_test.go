package datafs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWired(t *testing.T) {
	for want, cards := range map[bool][]string{
		true:  {"lo:1", "eth0:0:device", "eth1:1:device", "wlan0:1:device,phy80211"},
		false: {"lo:1", "eth0:0:device", "wlan0:1:device,phy80211", "cni0:1", "eth1::device"},
	} {
		sys := t.TempDir()
		for _, card := range cards {
			f := append(strings.Split(card, ":"), "")
			dir := filepath.Join(sys, "class/net", f[0])
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if f[1] != "" {
				os.WriteFile(filepath.Join(dir, "carrier"), []byte(f[1]+"\n"), 0o644)
			}
			for _, sub := range strings.FieldsFunc(f[2], func(r rune) bool { return r == ',' }) {
				os.Mkdir(filepath.Join(dir, sub), 0o755)
			}
		}
		if got := Wired(sys); got != want {
			t.Errorf("%v: %v", cards, got)
		}
	}
}
