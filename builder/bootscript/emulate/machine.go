package emulate

import (
	"fmt"
	"slices"
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
