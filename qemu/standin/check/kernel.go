package check

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func modules(h *Host, args []string) error {
	loaded, err := h.read("/proc/modules")
	if err != nil {
		return err
	}
	release, err := h.read("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	builtin, _ := h.read("/usr/lib/modules/" + strings.TrimSpace(release) + "/modules.builtin") // absent: nothing is built in
	for _, name := range args {
		have := regexp.MustCompile(`(?m)^`+name+` `).MatchString(loaded) ||
			regexp.MustCompile(`(?m)/`+strings.ReplaceAll(name, "_", "[-_]")+`\.ko$`).MatchString(builtin)
		if !have {
			return fmt.Errorf("module %s is not loaded", name)
		}
	}
	return nil
}

// limit reads a line of /proc/self/limits: name, soft, hard, unit.
func limit(h *Host, args []string) error {
	text, err := h.read("/proc/self/limits")
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^` + args[0] + `\s+(\S+)`).FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("no limit %q", args[0])
	}
	if m[1] == "unlimited" {
		return nil
	}
	return atLeast("limit "+args[0], m[1], args[1])
}

// capabilityBits are numbers of linux/capability.h.
var capabilityBits = map[string]int{"CHOWN": 0, "NET_ADMIN": 12, "SYS_MODULE": 16, "SYS_ADMIN": 21, "SYS_BOOT": 22, "SYS_RESOURCE": 24, "MKNOD": 27}

func caps(h *Host, args []string) error {
	text, err := h.read("/proc/self/status")
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^CapEff:\s*([0-9a-f]+)$`).FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("/proc/self/status has no CapEff")
	}
	set, _ := new(big.Int).SetString(m[1], 16)
	for _, name := range args {
		bit, ok := capabilityBits[name]
		if !ok || set.Bit(bit) == 0 {
			return fmt.Errorf("capability %s is missing of %s", name, m[1])
		}
	}
	return nil
}

func meminfo(h *Host, args []string) error {
	text, err := h.read("/proc/meminfo")
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^` + args[0] + `:\s+(\d+) kB$`).FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("/proc/meminfo has no %s", args[0])
	}
	return atLeast(args[0]+" in kB", m[1], args[1])
}

// clock compares with a date, or with the date of a slot manifest.
func clock(h *Host, args []string) error {
	floor, err := time.Parse(time.DateOnly, args[0])
	if err != nil {
		text, err := h.read(args[0])
		if err != nil {
			return err
		}
		var m struct{ Date int64 }
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Date == 0 {
			return fmt.Errorf("%s has no date: %v", args[0], err)
		}
		floor = time.Unix(m.Date, 0)
	}
	if now := h.Now(); now.Before(floor) {
		return fmt.Errorf("the clock says %s, which is before %s", now.UTC().Format(time.RFC3339), floor.UTC().Format(time.RFC3339))
	}
	return nil
}

// routes reads /proc/net/route: addresses as eight hex digits of a little-endian word.
func (h *Host) routes() ([]netip.Prefix, error) {
	text, err := h.read("/proc/net/route")
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] == "Iface" {
			continue
		}
		dst, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("/proc/net/route: %q", line)
		}
		bits := 0
		for ; mask != 0; mask &= mask - 1 {
			bits++
		}
		addr := netip.AddrFrom4([4]byte{byte(dst), byte(dst >> 8), byte(dst >> 16), byte(dst >> 24)})
		all = append(all, netip.PrefixFrom(addr, bits))
	}
	return all, nil
}

func route(h *Host, _ []string) error {
	all, err := h.routes()
	if err == nil && !slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		err = fmt.Errorf("there is no default route, only %v", all)
	}
	return err
}

func noRoute(h *Host, args []string) error {
	all, err := h.routes()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Bits() > 0 && p.Overlaps(netip.MustParsePrefix(args[0])) {
			return fmt.Errorf("there is a route to %s, which is for pods and services", p)
		}
	}
	return nil
}

func env(h *Host, args []string) error {
	if h.Getenv(args[0]) == "" {
		return fmt.Errorf("%s is not set", args[0])
	}
	return nil
}

// rule puts a rule into a chain of its own in a real table and takes everything away again.
func rule(h *Host, args []string) error {
	prog, table, spec := args[0], args[1], args[2:]
	const chain = "STANDIN"
	if _, err := h.Run(prog, "-w", "-t", table, "-N", chain); err != nil {
		return err
	}
	_, err := h.Run(append([]string{prog, "-w", "-t", table, "-A", chain}, spec...)...)
	if _, flush := h.Run(prog, "-w", "-t", table, "-F", chain); err == nil {
		err = flush
	}
	if _, remove := h.Run(prog, "-w", "-t", table, "-X", chain); err == nil {
		err = remove
	}
	return err
}

func runs(h *Host, args []string) error {
	_, err := h.Run(args...)
	return err
}

func version(h *Host, args []string) error {
	text, err := h.Run(args[0], "--version")
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(\d+)\.(\d+)\.(\d+)`)
	have, want := m.FindStringSubmatch(text), m.FindStringSubmatch(args[1])
	if have == nil || want == nil {
		return fmt.Errorf("%s --version says %q", args[0], text)
	}
	for i := 1; i <= 3; i++ {
		h, _ := strconv.Atoi(have[i])
		w, _ := strconv.Atoi(want[i])
		if h != w {
			if h < w {
				return fmt.Errorf("%s is version %s, %s is needed", args[0], have[0], args[1])
			}
			return nil
		}
	}
	return nil
}

func delegate(h *Host, args []string) error { return h.Delegate(args) }
