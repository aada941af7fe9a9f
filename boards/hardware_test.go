package boards

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// named are the words for hardware in what users read, and the kinds that need a driver where the
// word is used.
var named = []struct {
	words *regexp.Regexp
	kinds []string
}{
	{regexp.MustCompile(`\bNVMe\b`), []string{"nvme"}},
	{regexp.MustCompile(`\bUSB adapter\b`), []string{"usb-wifi", "usb-ethernet"}},
	{regexp.MustCompile(`\bUSB(-| )?(disk|stick|drive)s?\b|\bUSB or NVMe disk\b`), []string{"usb-disk"}},
}

// TestHardwareNamed: what docs, advice and the boards' own titles name is driven by the boards on
// which it can be plugged in.
func TestHardwareNamed(t *testing.T) {
	var texts []string
	for _, pattern := range []string{"../README.md", "../docs/*.md", "../init/contract/config/*.go", "../init/contract/config/*.md", "*.yaml", "families/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || strings.HasSuffix(f, "PROOF.md") {
				continue
			}
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(data))
		}
	}
	for _, n := range named {
		if !slices.ContainsFunc(texts, n.words.MatchString) {
			t.Errorf("nothing names %s any more: take it out of this table", n.words)
		}
		for _, kind := range n.kinds {
			if Kinds()[kind] == nil {
				t.Errorf("boards/hardware has no %s.yaml", kind)
			}
			for _, f := range Families() {
				if strings.HasPrefix(f.Name, "qemu") || kind == "nvme" && f.Name == "xu4" { // no PCIe
					continue
				}
				if !slices.Contains(f.Hardware, kind) {
					t.Errorf("something names %s, and %s does not drive %s", n.words, f.Name, kind)
				}
			}
		}
	}
}

// TestHardwareIsAdded: what a kind needs is part of the families that name it, and every kind is
// used.
func TestHardwareIsAdded(t *testing.T) {
	for name, h := range Kinds() {
		used := false
		for _, f := range Families() {
			if !slices.Contains(f.Hardware, name) {
				continue
			}
			used = true
			for _, row := range []struct{ need, have []string }{{h.Packages, f.Packages}, {h.Modules, f.Kernel.Modules}, {h.Firmware, f.Firmware}} {
				for _, s := range row.need {
					if n := len(slices.DeleteFunc(slices.Clone(row.have), func(x string) bool { return x != s })); n != 1 {
						t.Errorf("%s has %s of %s %d times, want 1", f.Name, s, name, n)
					}
				}
			}
		}
		if !used || h.Title == "" || len(h.Modules) == 0 {
			t.Errorf("%s: used %v, %+v", name, used, h)
		}
	}
}
