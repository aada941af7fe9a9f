// Package qemu holds what runs images (vm, tool) and the tests that do.
package qemu

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// leaf are the packages of formats: they know nothing of this product.
var leaf = []string{"builder/squashfs", "builder/initramfs", "builder/ubootscript", "builder/tree", "builder/kmod", "builder/xz"}

// allowed reports whether a package may import another one of ours. docs/CONTRIBUTING.md gives the
// reasons.
func allowed(from, to string) bool {
	below := func(p string, dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return p == d || strings.HasPrefix(p, d+"/") })
	}
	switch {
	case below(from, "init/contract"):
		return below(to, "init/contract")
	case below(from, leaf...):
		return below(to, "init/contract", "builder/xz") // a codec, as those of other modules
	case below(from, "init"):
		return below(to, "init")
	case below(from, "builder"):
		return below(to, "init/contract", "builder", "boards", "images", "overlays")
	case below(from, "boards", "images", "overlays"):
		return below(to, "init/contract")
	case below(from, "cmd/line"):
		return below(to, "init/contract")
	case below(from, "cmd/init", "cmd/shelf"):
		return below(to, "init", "cmd/line")
	case below(from, "cmd/imgbuild"):
		return below(to, "init/contract", "builder", "boards", "images", "overlays", "qemu/vm", "qemu/tool", "cmd/line")
	case below(from, "qemu/vm", "qemu/tool"):
		return below(to, "init/contract", "builder", "qemu/vm", "qemu/tool")
	}
	return below(from, "qemu") // the tests may use everything
}

// allowedInTest adds what tests may import: fixtures, the reference tools, and data.
func allowedInTest(from, to string) bool {
	return allowed(from, to) || slices.ContainsFunc([]string{"qemu/fixtures", "qemu/tool", "boards", "images", "overlays"}, func(d string) bool {
		return to == d || strings.HasPrefix(to, d+"/")
	}) || from == to // of an external test
}

func TestImportRules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "imgbuild/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); seen++ {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, "imgbuild/")
		for _, i := range p.Imports {
			if to, ours := strings.CutPrefix(i, "imgbuild/"); ours && !allowed(from, to) {
				t.Errorf("%s imports %s", from, to)
			}
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, ours := strings.CutPrefix(i, "imgbuild/"); ours && !allowedInTest(from, to) {
				t.Errorf("the tests of %s import %s", from, to)
			}
		}
	}
	if seen < 50 {
		t.Errorf("go list named %d packages", seen)
	}
	for _, bad := range [][2]string{{"init/boot", "builder/image"}, {"builder/image", "init/boot"}, {"init/contract/ext4", "init/base/guard"}, {"boards", "builder/recipe"}, {"qemu/vm", "qemu/fixtures/lan"}, {"qemu/vm", "init/disk"}, {"builder/squashfs", "builder/tree"}} {
		if allowed(bad[0], bad[1]) {
			t.Errorf("the rules let %s import %s", bad[0], bad[1])
		}
	}
	for _, bad := range [][2]string{{"init/upgrade/install", "builder/bundle"}, {"images", "builder/debian"}, {"builder/image", "init/boot"}} {
		if allowedInTest(bad[0], bad[1]) {
			t.Errorf("the rules let the tests of %s import %s", bad[0], bad[1])
		}
	}
}
