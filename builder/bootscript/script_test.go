package bootscript

import (
	"slices"
	"strings"
	"testing"

	"imgbuild/builder/bootscript/emulate"
	"imgbuild/builder/ubootscript"
)

// commands lists what boot.scr may use: what each of Debian's U-Boots for the boards has, read in
// their binaries.
var commands = map[string]string{
	"common": "echo env load mw.b mw.l part reset run setenv sleep test",
	"arm64":  "booti unzip", // rpi_arm64 and qemu_arm64, 2025.01
	"arm":    "bootz",       // odroid-xu3 2023.01 and qemu_arm 2025.01; no setexpr, no booti
}

// Every command is one that the board's U-Boot and virt's have, with no more words than they take
// (CONFIG_SYS_MAXARGS is 16 on the XU4).
func TestCommands(t *testing.T) {
	for _, p := range boards {
		allowed := strings.Fields(commands["common"] + " ${devtype} " + map[Kernel]string{ImageGz: commands["arm64"], ZImage: commands["arm"]}[p.Kernel])
		text := script(t, p)
		seen := 0
		err := emulate.Walk(text, func(words []string) {
			seen++
			if !slices.Contains(allowed, words[0]) {
				t.Errorf("%s: %s is not a command of every U-Boot: %q", p.Board, words[0], words)
			}
			if len(words) > 16 {
				t.Errorf("%s: %d words: %q", p.Board, len(words), words)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if seen < 50 {
			t.Errorf("%s: only %d commands were seen", p.Board, seen)
		}
		for _, absent := range []string{"setexpr", "wdt", "bootcount", "fatwrite", "saveenv", "fdt_high"} {
			if strings.Contains(text, absent) {
				t.Errorf("%s: the script names %s", p.Board, absent)
			}
		}
	}
}

// Sizes that U-Boot limits: a line (CONFIG_SYS_CBSIZE), and the script, which it copies before it
// runs it.
func TestLimits(t *testing.T) {
	for _, p := range boards {
		text := script(t, p)
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 512 {
				t.Errorf("%s: a line of %d bytes", p.Board, len(line))
			}
		}
		if strings.ContainsAny(text, "\r\x00@") || len(text) > 8192 {
			t.Errorf("%s: %d bytes, or a placeholder is left", p.Board, len(text))
		}
	}
}

// The last two commands are what ends a boot that nothing else ended, outside of every if and loop.
func TestEndsInReset(t *testing.T) {
	for _, p := range boards {
		if got, err := emulate.Last(script(t, p)); got != "reset" {
			t.Errorf("%s: the script ends in %q (%v), want reset", p.Board, got, err)
		}
	}
}

func TestImageOfScript(t *testing.T) {
	text := script(t, boards[0])
	got, _, err := ubootscript.Parse(ubootscript.Image(text, 1))
	if err != nil || got != text {
		t.Fatalf("got %v, %v, want %v", got, err, text)
	}
}

func TestParamsRefused(t *testing.T) {
	good := boards[0]
	for name, change := range map[string]func(*Params){
		"no board":       func(p *Params) { p.Board = "" },
		"shell in board": func(p *Params) { p.Board = "x;reset" },
		"quote in args":  func(p *Params) { p.Args = `a"b` },
		"variable":       func(p *Params) { p.Args = "${x}" },
		"console":        func(p *Params) { p.Console = "tty S1" },
		"no packed":      func(p *Params) { p.Addr.Packed = 0 },
		"no dtb address": func(p *Params) { p.DTB = "dtb/x.dtb" },
		"no kernel":      func(p *Params) { p.Addr.Kernel = 0 },
	} {
		p := good
		change(&p)
		if text, err := Script(p); err == nil {
			t.Errorf("%s: %.40q", name, text)
		}
	}
}

func TestPiEnv(t *testing.T) {
	data, err := ubootscript.Environment(PiEnv(), PiEnvSize)
	if err != nil || len(data) != PiEnvSize {
		t.Fatalf("got %v, %v, want %v", len(data), err, PiEnvSize)
	}
	env := PiEnv()
	if env["preboot"] != "" || env["bootdelay"] != "-2" || !strings.HasSuffix(env["bootcmd"], "bootflow scan") {
		t.Fatal(env)
	}
	for _, c := range []struct{ mode, script, want string }{
		{"", "mmc", "source mmc"}, {"0x1", "mmc", "source mmc"}, {"0x4", "usb", "source usb"}, {"0x5", "usb", "source usb"},
		{"", "none", "scan"}, {"0x4", "none", "scan"},
	} {
		if got := piBoot(env["bootcmd"], c.mode, c.script); got != c.want {
			t.Errorf("boot mode %q, script on %s: %q, want %q", c.mode, c.script, got, c.want)
		}
	}
}

// piBoot runs bootcmd on a Pi whose firmware reports how it booted, with boot.scr on one kind of
// disk.
func piBoot(bootcmd, mode, on string) string {
	sh := emulate.New(map[string]string{"fdt_addr": "0x1", "scriptaddr": "0x2"})
	usb := false
	yes := func([]string) bool { return true }
	sh.Commands["pci"] = yes
	sh.Commands["usb"] = func([]string) bool { usb = true; return true }
	sh.Commands["fdt"] = func(a []string) bool {
		if a[0] == "get" && mode != "" {
			sh.Env[a[2]] = mode
		}
		return a[0] == "addr" || mode != ""
	}
	sh.Commands["itest"] = func(a []string) bool { return a[1] == "==" && strings.TrimPrefix(a[0], "0x") == a[2] }
	sh.Commands["load"] = func(a []string) bool { return a[0] == on && (on != "usb" || usb) }
	sh.Commands["source"] = func([]string) bool { panic(emulate.Stop{Why: "source " + sh.Env["devtype"]}) }
	sh.Commands["bootflow"] = func([]string) bool {
		if !usb || sh.Env["devtype"] != "" {
			panic(emulate.Stop{Why: "scan without usb, or on one disk only"})
		}
		panic(emulate.Stop{Why: "scan"})
	}
	return sh.Run(bootcmd)
}
