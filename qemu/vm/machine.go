package vm

import (
	"imgbuild/init/contract/fault"
	"slices"
	"strings"
)

// Machine is one kind of emulated machine: QEMU's arguments, and how the firmware of its boards
// starts.
type Machine struct {
	Name    string
	Arch    string   // Debian's name of what it runs
	Program string   // of qemu/tool's table
	Least   string   // oldest QEMU that runs it; "" = the table's
	Args    []string // machine and processor
	Memory  int      // MiB unless the options have another
	Fixed   bool     // Memory cannot be changed
	Disk    []string // device arguments after the drive "disk"
	Drive   string   // the drive's if=
	NIC     string   // device model, empty = none
	Serial  int      // number of the serial port that carries the console
	Console string   // the kernel's name of it
	Extra   []string

	// Firmware: U-Boot as QEMU's -bios from a Debian package, or as -kernel from the image's own
	// BOOT.
	Package, File  string // Debian package and file in it, given as -bios
	Kernel, DTB    string // files of BOOT, given as -kernel and -dtb
	PowerOfTwoDisk bool   // QEMU's SD card takes no other size
}

// machines is the table; the first that runs an image's architecture is its default.
var machines = []Machine{
	{
		// One processor and a Cortex-A72: the cheapest under emulation (facts: 3 to 4 CPU seconds a
		// boot).
		Name: "virt", Arch: "arm64", Program: "qemu-system-aarch64",
		Args: []string{"-M", "virt", "-cpu", "cortex-a72", "-smp", "1"}, Memory: 1024,
		Drive: "none", Disk: []string{"-device", "virtio-blk-pci,drive=disk"}, NIC: "virtio-net-pci,romfile=", Console: "ttyAMA0",
		Extra:   []string{"-device", "virtio-rng-pci", "-device", "i6300esb"}, // a watchdog, as every board has one
		Package: "u-boot-qemu", File: "usr/lib/u-boot/qemu_arm64/u-boot.bin",
	},
	{
		// highmem=off keeps PCI below 4 GiB, where a kernel without LPAE reaches it.
		Name: "virt-arm", Arch: "armhf", Program: "qemu-system-arm",
		Args: []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15", "-smp", "1"}, Memory: 1024,
		Drive: "none", Disk: []string{"-device", "virtio-blk-pci,drive=disk"}, NIC: "virtio-net-pci,romfile=", Console: "ttyAMA0",
		Extra:   []string{"-device", "virtio-rng-pci"},
		Package: "u-boot-qemu", File: "usr/lib/u-boot/qemu_arm/u-boot.bin",
	},
	{
		// QEMU 7.2 resets this machine the moment /dev/watchdog is opened. The second serial port
		// is the mini-UART, which the Pi's device tree and U-Boot call the console.
		Name: "raspi3b", Arch: "arm64", Program: "qemu-system-aarch64", Least: "10.0",
		Args: []string{"-M", "raspi3b"}, Memory: 1024, Fixed: true,
		Drive: "sd", NIC: "usb-net", Serial: 1, Console: "ttyS1,115200",
		Kernel: "u-boot.bin", DTB: "bcm2837-rpi-3-b.dtb", PowerOfTwoDisk: true,
	},
}

// Machines lists the names of the machines.
func Machines() []string {
	var names []string
	for _, m := range machines {
		names = append(names, m.Name)
	}
	return names
}

// machine finds a machine by name, or the default of an architecture when name is empty.
func machine(name, arch string) (Machine, error) {
	i := slices.IndexFunc(machines, func(m Machine) bool { return m.Name == name || name == "" && m.Arch == arch })
	if i < 0 && name == "" {
		return Machine{}, fault.New(fault.Input, "", "no machine of QEMU's is known that runs %q", arch)
	}
	if i < 0 {
		return Machine{}, fault.New(fault.Usage, "use one of "+strings.Join(Machines(), ", "), "unknown machine %q", name)
	}
	return machines[i], nil
}
