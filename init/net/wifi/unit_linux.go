package wifi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// Name is the unit's name.
const Name = "wpa_supplicant"

// Node is what the unit must know of its node.
type Node struct {
	Config func() *config.Config // the newest merged configuration; called at each start
	Radio  func() string         // the name of the radio's interface, "" while there is none
}

// Unit makes the unit that runs wpa_supplicant. It waits until there is a radio.
func Unit(n Node) supervise.Unit {
	var radio string // of this start: Prepare, then Arguments, from one goroutine
	u := supervise.Unit{
		Name: Name, Optional: true, StopOrder: 80, OOMScore: -900,
		Prepare: func(ctx context.Context, _ supervise.Say) error {
			radio = n.Radio()
			if radio == "" {
				return &supervise.Waiting{What: NoRadio()}
			}
			unblock("/sys/class/rfkill")
			if err := os.Remove(filepath.Join(ControlDir, radio)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err // the socket of one that was killed would look ready
			}
			cfg := n.Config()
			if err := os.MkdirAll(filepath.Dir(ConfigFile), 0o755); err != nil {
				return err
			}
			return atomicfile.Write(ConfigFile, Config(cfg.Network.Country, cfg.AllWiFi()), 0o600)
		},
		Arguments: func() (command, env []string, err error) {
			return []string{"/usr/sbin/wpa_supplicant", "-D", "nl80211", "-i", radio, "-c", ConfigFile}, nil, nil
		},
	}
	u.Ready = supervise.Ready{Probe: func(context.Context) error {
		_, err := os.Stat(filepath.Join(ControlDir, radio))
		return fault.Wrap(err, fault.Unhealthy, "", "wpa_supplicant does not listen yet")
	}}
	return u
}

// NoRadio returns the reason for a missing radio, as far as the kernel's log shows it.
func NoRadio() string {
	if file := MissingFirmware(kernelLog()); file != "" {
		return "the Wi-Fi radio's firmware " + file + " is not in this image, so Wi-Fi does not work; use the cable, or another radio"
	}
	return "this machine has no Wi-Fi radio, or the image has no driver for it; plug one in, or remove network.wifi and k3os.wifi"
}

// kernelLog returns what the kernel's ring has now; empty when it cannot be read.
func kernelLog() string {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var b strings.Builder
	record := make([]byte, 8192)
	for b.Len() < 4<<20 {
		n, err := unix.Read(fd, record)
		if errors.Is(err, unix.EPIPE) { // a record was overwritten meanwhile; the next one is there
			continue
		}
		if err != nil || n <= 0 {
			break
		}
		_, line, _ := strings.Cut(string(record[:n]), ";")
		b.WriteString(strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// unblock lifts the soft block that some radios start with.
func unblock(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if kind, err := os.ReadFile(filepath.Join(path, "type")); err == nil && strings.TrimSpace(string(kind)) == "wlan" {
			_ = os.WriteFile(filepath.Join(path, "soft"), []byte("0"), 0) // a switch on the case is stronger
		}
	}
}
