package emulate

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"imgbuild/builder/ubootscript"
	"imgbuild/init/contract/bootstate"
)

// Machine is a board with a disk, for one boot at a time.
type Machine struct {
	Sectors  [2][]byte // the record's copies
	Slots    string    // which slots load: "ab", "a", "b", ""
	ReadOnly bool
	Board    string // U-Boot's version text
	Words    []byte // usercmdline.txt on BOOT; nil = there is none
	memory   map[string][]byte
	Writes   []int // the copies that the last boot wrote, in order
	Shell    *Shell
}

// lba returns the number of a copy by its sector.
func lba(s string) int {
	switch s {
	case "0x2000":
		return 0
	case "0x6000":
		return 1
	}
	panic("a sector that holds no record: " + s)
}

// Boot runs the script and returns why it ended ("booti ..." with the slot, "reset") and the
// kernel's command line.
func (m *Machine) Boot(script string) (why string, bootargs map[string]string) {
	m.memory, m.Writes = map[string][]byte{}, nil
	sh := New(map[string]string{"devtype": "mmc", "devnum": "0", "fdt_addr": "0x8000000", "board": m.Board})
	m.Shell = sh
	sh.Commands["mmc"] = func(a []string) bool {
		switch {
		case a[0] == "dev" && a[1] == "0":
			return true
		case a[0] == "read" && a[3] == "1":
			data := m.Sectors[lba(a[2])]
			m.memory[a[1]] = slices.Clone(data)
			return data != nil // nil is a sector that the card cannot read
		case a[0] == "write" && a[3] == "1":
			if m.ReadOnly {
				return false
			}
			m.Sectors[lba(a[2])] = slices.Clone(m.memory[a[1]])
			m.Writes = append(m.Writes, lba(a[2]))
			return true
		}
		panic(fmt.Sprint("mmc ", a))
	}
	single := map[uint64]byte{} // memory that mw writes, and the user's words
	sh.Commands["mw.b"] = func(a []string) bool {
		for i := range number(a[2]) {
			single[number(a[0])+i] = byte(number(a[1]))
		}
		return true
	}
	sh.Commands["mw.l"] = func(a []string) bool {
		for i := range uint64(4) {
			single[number(a[0])+i] = byte(number(a[1]) >> (8 * i))
		}
		return len(a) == 3 && a[2] == "1"
	}
	test := sh.Commands["test"]
	sh.Commands["test"] = func(a []string) bool {
		if a[0] == "-e" {
			return m.onBoot(a[1:]) && m.Words != nil
		}
		return test(a)
	}
	sh.Commands["env"] = func(a []string) bool {
		switch {
		case a[0] == "import" && a[1] == "-c" && a[3] == "0x200":
			vars, err := ubootscript.ParseEnvironment(m.memory[a[2]])
			for _, name := range a[4:] {
				if value, ok := vars[name]; ok { // U-Boot leaves alone what the block does not have
					sh.Env[name] = value
				}
			}
			return err == nil
		case a[0] == "export" && a[1] == "-c" && a[2] == "-s" && a[3] == "0x200":
			vars := map[string]string{}
			for _, name := range a[5:] {
				if value, ok := sh.Env[name]; ok {
					vars[name] = value
				}
			}
			data, err := ubootscript.Environment(vars, bootstate.Size)
			if err != nil {
				panic(err)
			}
			m.memory[a[4]] = data
			return true
		case a[0] == "import" && a[1] == "-t" && a[2] == "-r":
			text := make([]byte, number(a[4]))
			for i := range text {
				text[i] = single[number(a[3])+uint64(i)]
			}
			importText(sh.Env, text, a[5:])
			return true
		}
		panic(fmt.Sprint("env ", a))
	}
	sh.Commands["part"] = func(a []string) bool {
		if fmt.Sprint(a) != "[uuid mmc 0:1 s_disk]" {
			panic(fmt.Sprint("part ", a))
		}
		sh.Env["s_disk"] = "1a2b3c4d-01"
		return true
	}
	loaded := map[string]string{} // address -> file
	sh.Commands["load"] = func(a []string) bool {
		if len(a) == 5 {
			n := min(uint64(len(m.Words)), number(a[4]))
			for i, b := range m.Words[:n] {
				single[number(a[2])+uint64(i)] = b
			}
			sh.Env["filesize"] = fmt.Sprintf("%x", n)
			return m.onBoot([]string{a[0], a[1], a[3]}) && m.Words != nil
		}
		slot := map[string]string{"0:2": "a", "0:3": "b"}[a[1]]
		if a[0] != "mmc" || slot == "" {
			panic(fmt.Sprint("load ", a))
		}
		if !strings.Contains(m.Slots, slot) {
			return false
		}
		loaded[a[2]] = slot + " " + a[3]
		sh.Env["filesize"] = "1234"
		return true
	}
	sh.Commands["unzip"] = func(a []string) bool {
		loaded[a[1]] = loaded[a[0]]
		return true
	}
	start := func(name string) func([]string) bool {
		return func(a []string) bool {
			initrd, size, _ := strings.Cut(a[1], ":")
			slot, file, _ := strings.Cut(loaded[a[0]], " ")
			if file != "kernel" || loaded[initrd] != slot+" initramfs" || size != "1234" || len(a) != 3 {
				panic(fmt.Sprint(name, a, loaded))
			}
			if dtb := loaded[a[2]]; a[2] != "0x8000000" && !strings.HasPrefix(dtb, slot+" dtb/") {
				panic(fmt.Sprint(name, a, loaded))
			}
			panic(Stop{name + " " + slot})
		}
	}
	sh.Commands["booti"], sh.Commands["bootz"] = start("booti"), start("bootz")

	why = sh.Run(script)
	bootargs = map[string]string{}
	for _, word := range strings.Fields(sh.Env["bootargs"]) {
		name, value, _ := strings.Cut(word, "=")
		bootargs[name] = value
	}
	return why, bootargs
}

// onBoot reports that a command names the user's words on BOOT; it may name nothing else there.
func (m *Machine) onBoot(a []string) bool {
	if !slices.Equal(a, []string{"mmc", "0:1", "usercmdline.txt"}) {
		panic(fmt.Sprint("a file on BOOT: ", a))
	}
	return true
}

// number is a number as U-Boot reads it from an argument: hexadecimal, with or without 0x.
func number(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// importText sets the variables that text (lines of NAME=VALUE, up to a NUL) has of some names, as
// U-Boot's himport_r does: no carriage return before a line's end, blanks before a name skipped,
// comments too, and a backslash taken away from what follows it.
func importText(env map[string]string, text []byte, names []string) {
	text, _, _ = bytes.Cut(text, []byte{0})
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\r\n", "\n")) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t")
		name, value, _ := strings.Cut(line, "=")
		if strings.HasPrefix(line, "#") || !slices.Contains(names, name) {
			continue
		}
		plain, escaped := "", false
		for _, c := range value {
			if c == '\\' && !escaped {
				escaped = true
				continue
			}
			plain, escaped = plain+string(c), false
		}
		if env[name] = plain; plain == "" {
			delete(env, name)
		}
	}
}
