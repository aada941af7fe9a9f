// Package bootscript writes what the board's U-Boot runs: the text of boot.scr, one for all boards,
// and the environment of a Pi's U-Boot.
//
// The rules that it follows are init/contract/bootstate's. It uses only what every Debian U-Boot of
// the boards has: no setexpr (the XU4's has none, so it counts by if and elif), no bootcount, no
// wdt. An interpreter in the tests runs the very text against every state of the record; QEMU runs
// it with the real U-Boots.
package bootscript

import (
	"fmt"
	"strings"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/firmware"
)

// Kernel is how a slot's kernel is packed.
type Kernel int

const (
	ImageGz Kernel = iota // arm64: Image under gzip, which unzip unpacks and checks, for booti
	ZImage                // arm: for bootz
)

// Addresses are where things are in memory while U-Boot runs. They are the board's data: a Pi's own
// defaults, for one, let the kernel run over its initramfs.
type Addresses struct {
	Kernel uint64
	Packed uint64 // the compressed kernel, of ImageGz only
	Initrd uint64 // and before it, the record's sector and the user's words
	DTB    uint64 // of a board with Params.DTB only
}

// Params is what differs between boards.
type Params struct {
	Board   string // passed as shelf.board
	Kernel  Kernel
	Console string // of the kernel, such as ttyS1,115200
	Args    string // more words for the kernel, may be empty
	Addr    Addresses
	DTB     string // the slot's device tree, such as dtb/exynos5422-odroidxu4.dtb; "" = what the firmware left at ${fdt_addr}
}

// QEMU's machine virt, whose U-Boot sets board=qemu-arm. Every image boots there as it is.
const virtConsole = "ttyAMA0"

func virt(k Kernel) Addresses {
	a := Addresses{Kernel: 0x40400000, Initrd: 0x44000000}
	if k == ImageGz {
		a.Packed = 0x48000000
	}
	return a
}

// Check returns what is wrong with the parameters: they become words of a shell and of a command
// line.
func (p Params) Check() error {
	word := func(name, s, more string) error {
		for _, c := range s {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_."+more, c)) {
				return fmt.Errorf("boot script: %s %q holds %q", name, s, c)
			}
		}
		return nil
	}
	if p.Board == "" || p.Console == "" || p.Addr.Kernel == 0 || p.Addr.Initrd == 0 {
		return fmt.Errorf("boot script: board, console or an address is missing: %+v", p)
	}
	if (p.Kernel == ImageGz) != (p.Addr.Packed != 0) || (p.DTB != "") != (p.Addr.DTB != 0) {
		return fmt.Errorf("boot script: %s: the addresses do not fit the kernel or the device tree: %+v", p.Board, p)
	}
	for _, e := range []error{word("board", p.Board, ""), word("console", p.Console, ","), word("args", p.Args, ",=: "), word("dtb", p.DTB, "/,")} {
		if e != nil {
			return e
		}
	}
	return nil
}

// Script returns the text of boot.scr. It never returns to the caller.
func Script(p Params) (string, error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	boardLines := settings(p, p.Addr, p.Console)
	if p.DTB != "" {
		boardLines += fmt.Sprintf("\tsetenv s_dtb %s\n\tsetenv s_fdt 0x%08x\n", p.DTB, p.Addr.DTB)
	} else {
		boardLines += "\tsetenv s_fdt ${fdt_addr}\n"
	}
	args := p.Args
	if args != "" {
		args += " "
	}
	return strings.NewReplacer(
		"@VIRT@", settings(p, virt(p.Kernel), virtConsole)+"\tsetenv s_fdt ${fdt_addr}\n",
		"@BOARD@", boardLines,
		"@LBA0@", fmt.Sprintf("0x%x", bootstate.Copy0/bootstate.Size),
		"@LBA1@", fmt.Sprintf("0x%x", bootstate.Copy1/bootstate.Size),
		"@SIZE@", fmt.Sprintf("0x%x", bootstate.Size),
		"@V@", fmt.Sprint(bootstate.Version),
		"@NAME@", p.Board,
		"@TOOLONG@", fmt.Sprintf("%x", firmware.MaxWords+1), // as U-Boot has it in filesize
		"@MOST@", fmt.Sprint(firmware.MaxWords),
		"@ARGS@", args,
		"@LOADKERNEL@", loadKernel[p.Kernel],
		"@GO@", map[Kernel]string{ImageGz: "booti", ZImage: "bootz"}[p.Kernel],
	).Replace(text), nil
}

func settings(p Params, a Addresses, console string) string {
	s := fmt.Sprintf("\tsetenv s_console %s\n\tsetenv s_kernel 0x%08x\n\tsetenv s_initrd 0x%08x\n", console, a.Kernel, a.Initrd)
	s += fmt.Sprintf("\tsetenv s_name 0x%08x\n\tsetenv s_equal 0x%08x\n\tsetenv s_file 0x%08x\n", a.Initrd+0x38, a.Initrd+0x3c, a.Initrd+0x40)
	if p.Kernel == ImageGz {
		s += fmt.Sprintf("\tsetenv s_packed 0x%08x\n", a.Packed)
	}
	return s
}

var loadKernel = map[Kernel]string{
	ImageGz: `if load ${devtype} ${devnum}:${s_part} ${s_packed} kernel; then
		if unzip ${s_packed} ${s_kernel}; then
			setenv s_ok 1
		fi
	fi`,
	ZImage: `if load ${devtype} ${devnum}:${s_part} ${s_kernel} kernel; then
		setenv s_ok 1
	fi`,
}
