package bootscript

// PiEnvSize is the size of uboot.env, the file on the first partition from which Debian's Pi
// U-Boots take their environment (CONFIG_ENV_SIZE).
const PiEnvSize = 0x4000

// PiEnv is the environment of a Pi's U-Boot. It replaces the built-in one, so it repeats of that
// what `bootflow scan` needs, and leaves out what costs time: two seconds of waiting for a key, and
// a scan of USB and PCI at each boot. A delay of -2 looks for no key at all: noise on an open
// serial line would otherwise stop the boot of a node without a cable.
//
// U-Boot looks for the file on the first card only, and the firmware may have come from a USB disk
// while a card is in the slot; new firmware shows that in the device tree (boot modes 4 and 5). If
// the script is not available there, U-Boot searches everywhere, as it would without this file.
func PiEnv() map[string]string {
	return map[string]string{
		"arch": "arm", "cpu": "armv8", "board": "rpi", "board_name": "rpi", "vendor": "raspberrypi", "soc": "bcm283x",
		"stdin": "serial,usbkbd", "stdout": "serial,vidconsole", "stderr": "serial,vidconsole",
		"loadaddr": "0x1000000", "kernel_addr_r": "0x00080000", "scriptaddr": "0x02400000", "pxefile_addr_r": "0x02500000",
		"fdt_addr_r": "0x02600000", "ramdisk_addr_r": "0x02700000",
		"fdt_high": "ffffffffffffffff", "initrd_high": "ffffffffffffffff",
		"boot_targets": "mmc usb pxe dhcp",
		"bootdelay":    "-2",
		"bootcmd": "setenv devtype mmc; setenv devnum 0; setenv s_mode; fdt addr ${fdt_addr}; " +
			"if fdt get value s_mode /chosen/bootloader boot-mode; then " +
			"if itest ${s_mode} == 4 || itest ${s_mode} == 5; then setenv devtype usb; pci enum; usb start; fi; fi; " +
			"if load ${devtype} ${devnum}:1 ${scriptaddr} boot.scr; then source ${scriptaddr}; fi; " +
			"setenv devtype; setenv devnum; pci enum; usb start; bootflow scan",
	}
}
