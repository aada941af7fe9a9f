package boards

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func TestBoards(t *testing.T) {
	if len(Names()) < 6 {
		t.Fatalf("only %v", Names())
	}
	for _, name := range Names() {
		b, f, err := Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if b.Title == "" || b.MemoryMB < 256 || len(b.Compatible) == 0 || b.Machine == "" || b.Seen == "" {
			t.Errorf("%s lacks a field: %+v", name, b)
		}
		for _, c := range b.Compatible {
			if vendor, model, ok := strings.Cut(c, ","); !ok || vendor == "" || model == "" {
				t.Errorf("%s: %q is not a vendor,model: quote it", name, c)
			}
		}
		for _, r := range b.Refused {
			if ok, why := b.Supports(r.Role); ok || why != r.Why || why == "" {
				t.Errorf("%s refuses %s and supports it: %v %q", name, r.Role, ok, why)
			}
		}
		if f.Arch != "arm64" && f.Arch != "armhf" || len(f.Packages) == 0 || f.Script.Console == "" || f.Script.Kernel == 0 {
			t.Errorf("family %s lacks a field: %+v", f.Name, f)
		}
	}
	if b, f, err := Get("nope"); b != nil || f != nil || err != nil {
		t.Error("an unknown board is not nil")
	}
}

// Raw blobs may touch neither the partition table, nor each other, nor the boot record at 4 MiB.
func TestRawBlobsDoNotOverlap(t *testing.T) {
	for _, f := range Families() {
		for i, a := range f.Raw {
			if a.Sector < 1 || a.Sectors < 1 || a.Sector+a.Sectors > 4<<20/512 {
				t.Errorf("%s: %s at %d+%d", f.Name, a.Name, a.Sector, a.Sectors)
			}
			if a.Size > a.Sectors*512 != a.Cut {
				t.Errorf("%s: %s is larger than its place", f.Name, a.Name)
			}
			sum, err := hex.DecodeString(a.SHA256)
			if vendor := a.Package == ""; vendor && (err != nil || len(sum) != 32 || !strings.HasPrefix(a.URL, "https://") || a.Size == 0) || !vendor && a.From == "" {
				t.Errorf("%s: %s has no proper source: %+v", f.Name, a.Name, a)
			}
			for _, b := range f.Raw[i+1:] {
				if a.Sector < b.Sector+b.Sectors && b.Sector < a.Sector+a.Sectors {
					t.Errorf("%s: %s and %s overlap", f.Name, a.Name, b.Name)
				}
			}
		}
	}
}

// Every file that config.txt names is among those that are copied to BOOT.
func TestConfigTxtNamesFilesOfBoot(t *testing.T) {
	line := regexp.MustCompile(`(?m)^(?:kernel|device_tree|initramfs|start_file|fixup_file|dtoverlay)=(\S+)`)
	for _, f := range Families() {
		have := map[string]bool{}
		for _, c := range f.Boot {
			have[c.To] = true
		}
		for _, m := range line.FindAllStringSubmatch(f.BootText["config.txt"], -1) {
			if !have[m[1]] {
				t.Errorf("%s: config.txt names %s, which is not in BOOT", f.Name, m[1])
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for name, file := range map[string]string{
		"unknown field":  "title: x\nfamily: f\nspeed: 3\n",
		"unknown family": "title: x\nfamily: nope\n",
		"not yaml":       "title: [",
	} {
		got := read(fstest.MapFS{"families/f.yaml": {Data: []byte("arch: arm64\n")}, "b.yaml": {Data: []byte(file)}})
		if got.err == nil || !strings.Contains(got.err.Error(), "b.yaml") {
			t.Errorf("%s: %v", name, got.err)
		}
	}
}
