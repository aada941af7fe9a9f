package module

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/fnmatch"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func index(t *testing.T) *Index {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "modules.dep", `kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/drivers/watchdog/bcm2835_wdt.ko:
kernel/drivers/block/virtio_blk.ko:
kernel/drivers/net/usb/lan78xx.ko.xz: kernel/drivers/net/usb/usbnet.ko.xz kernel/drivers/net/mii.ko.xz
kernel/drivers/net/usb/usbnet.ko.xz: kernel/drivers/net/mii.ko.xz
kernel/drivers/net/mii.ko.xz:
kernel/a-b.ko:
kernel/loop1.ko: kernel/loop2.ko
kernel/loop2.ko: kernel/loop1.ko
`)
	write(t, dir, "modules.alias", `# Aliases extracted from modules themselves.
alias platform:bcm2835-wdt bcm2835_wdt
alias virtio:d00000002v* virtio_blk
alias of:N*T*Cbrcm,bcm2835-sdhost bcm2835
alias of:N*T*Cbrcm,bcm2835-sdhostC* bcm2835
alias usb:v0424p7800d*dc*dsc*dp*ic*isc*ip*in* lan78xx
alias crypto-crc32c crc32c_generic
alias pci:v00008086d000025ABsv*sd*bc*sc*i* i6300esb
alias fs-ext4 ext4
alias of:N*Tethernet-phyC* phy
`)
	write(t, dir, "modules.softdep", "# x\nsoftdep ext4 pre: crypto-crc32c no-such-alias\nsoftdep a_b post: mii\n")
	write(t, dir, "modules.builtin", "kernel/drivers/mmc/core/mmc_block.ko\n")
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestOrder(t *testing.T) {
	x := index(t)
	for name, want := range map[string][]string{
		"ext4":          {"crc32c_generic", "jbd2", "mbcache", "crc16", "ext4"},
		"fs-ext4":       {"crc32c_generic", "jbd2", "mbcache", "crc16", "ext4"},
		"lan78xx":       {"mii", "usbnet", "lan78xx"},
		"a-b":           {"a_b", "mii"},
		"mmc_block":     nil,
		"crypto-crc32c": {"crc32c_generic"},
		"loop1":         {"loop2", "loop1"}, // a circle must not hang
	} {
		got, err := x.Order(name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v, want %v", name, got, err, want)
		}
	}
	if _, err := x.Order("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown module: %v", err)
	}
	if !x.In("bcm2835-wdt", "drivers/watchdog") || x.In("ext4", "drivers/watchdog") || x.In("nothing", "drivers/watchdog") {
		t.Error("In is wrong")
	}
}

func TestMatch(t *testing.T) {
	x := index(t)
	for alias, want := range map[string]string{
		"platform:bcm2835-wdt":                                 "bcm2835_wdt",
		"virtio:d00000002v00001AF4":                            "virtio_blk",
		"of:NmmcT(null)Cbrcm,bcm2835-sdhost":                   "bcm2835",
		"of:NmmcT(null)Cfoo,CardCbrcm,bcm2835-sdhostCbar":      "bcm2835",
		"of:NphyTethernet-phyCx,y":                             "phy",
		"usb:v0424p7800d0300dcFFdsc00dpFFicFFisc00ipFFin00":    "lan78xx",
		"pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i0": "i6300esb",
		"virtio:d00000001v00001AF4":                            "",
		"":                                                     "",
		"of:N":                                                 "",
	} {
		if got := strings.Join(x.Match(alias), " "); got != want {
			t.Errorf("%s: %q, want %q", alias, got, want)
		}
	}
}

func TestOpenWithoutIndex(t *testing.T) {
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("no modules.dep and no error")
	}
}

// FuzzIndex reads anything as modules.alias and looks a device up in it.
func FuzzIndex(f *testing.F) {
	f.Add("alias of:N*T*Ca,b x\nalias [ y\nalias * z", "of:NxTyCa,b")
	f.Fuzz(func(t *testing.T, text, alias string) {
		x := &Index{file: map[string]string{}, deps: map[string][]string{}}
		if len(alias) > 200 {
			return
		}
		var slow []rule
		for _, line := range strings.Split(text, "\n") {
			x.aliasLine(line)
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "alias" {
				slow = append(slow, rule{fields[1], Name(fields[2])})
			}
		}
		x.alias.sort()
		got := x.Match(alias)
		for _, r := range slow { // the fast way finds whatever the slow way finds
			if fnmatch.Match(r.pattern, alias) {
				found := false
				for _, m := range got {
					found = found || m == r.module
				}
				if !found {
					t.Errorf("%q does not find %q by %q", alias, r.module, r.pattern)
				}
			}
		}
	})
}

// A module gets the parameters that the command line has for it, and no device gets one that is
// blocked there.
func TestWords(t *testing.T) {
	w := Words{"usb-storage.quirks": "174c:55aa:u,152d:0578:u", "usb_storage.option_zero_cd": "1", "usb_storage.swi_tru_install": "", "usb_storage.note": "a b",
		"virtio_blk.num_request_queues": "1", "usb_storage": "x", "usb_storage.": "x", "quiet": "", "k3os.token": "secret", "modprobe.blacklist": "uas, bcm2835-wdt"}
	for name, want := range map[string][]string{
		"usb_storage": {`note="a b"`, "option_zero_cd=1", "quirks=174c:55aa:u,152d:0578:u", "swi_tru_install"},
		"virtio_blk":  {"num_request_queues=1"},
		"uas":         nil,
		"":            nil,
	} {
		if got := w.Parameters(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"uas": true, "bcm2835_wdt": true, "usb_storage": false, "": false} {
		if got := w.Blocked(name); got != want {
			t.Errorf("%s blocked: %v, want %v", name, got, want)
		}
	}
	if Words(nil).Blocked("") || Words(nil).Parameters("x") != nil {
		t.Error("no words do something")
	}
	x := index(t)
	if l := NewLoader(x, w); len(l.Match("platform:bcm2835-wdt")) != 0 || len(l.Match("virtio:d00000002v00001AF4")) != 1 {
		t.Errorf("matches: %q, %q", l.Match("platform:bcm2835-wdt"), l.Match("virtio:d00000002v00001AF4"))
	}
	if l := NewLoader(x, nil); len(l.Match("platform:bcm2835-wdt")) != 1 {
		t.Error("a module that nothing blocks is not matched")
	}
}
