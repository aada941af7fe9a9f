package uevent

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	msg := "add@/devices/virtio1/block/vda\x00ACTION=add\x00DEVPATH=/devices/virtio1/block/vda\x00SUBSYSTEM=block\x00DEVNAME=vda\x00SEQNUM=7\x00"
	ev := Parse([]byte(msg))
	if ev["ACTION"] != "add" || ev["SUBSYSTEM"] != "block" || ev["DEVNAME"] != "vda" {
		t.Errorf("%v", ev)
	}
	for _, bad := range []string{"", "x", "add@x", "libudev\x00\xfe\xed", "add@/x\x00NOACTION=1\x00"} {
		if ev := Parse([]byte(bad)); ev != nil {
			t.Errorf("%q returns %v, want nil", bad, ev)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("change@/x\x00ACTION=change\x00DM_VERITY_ERR_BLOCK_NR=1,7\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ev := Parse(b); ev != nil && ev["ACTION"] == "" {
			t.Errorf("%q: an event without an action", b)
		}
	})
}

func TestPresent(t *testing.T) {
	root := t.TempDir()
	for path, alias := range map[string]string{
		"bus/pci/devices/0000:00:01.0/modalias": "pci:b\n", "bus/platform/devices/x/modalias": "platform:x\n",
		"bus/platform/devices/y/modalias": "platform:x\n", "bus/usb/devices/1-1/name": "no alias\n", "bus/usb/devices/1-2/modalias": "\n",
	} {
		full := filepath.Join(root, path)
		os.MkdirAll(filepath.Dir(full), 0o755)
		os.WriteFile(full, []byte(alias), 0o644)
	}
	if got, want := Present(root), []string{"pci:b", "platform:x"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Present(t.TempDir()); len(got) != 0 {
		t.Errorf("an empty /sys gives %v", got)
	}
}
