package scenarios

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// TestUpgradeLong is one server through many versions: ways to fail that TestUpgrade has not, and
// two good ones behind each other. Each part begins in the first version, so that one can be run
// alone. FULL: ten boots.
func TestUpgradeLong(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	l := newLaptop(t)
	all := newReleases(t, l.serverConfig())
	words := []string{"board=rpi4", "role=server"}
	good := append(slices.Clone(words), k3s(t, "arm64"))
	v1 := all.build(t, "", good...)
	v2 := all.build(t, otherInit(t, "two", "arm64", named("two")), good...)
	_, cable := testLAN(t)
	g := boot(t, vm.Options{Image: v1.image, Name: "server", Machine: "virt", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{cable}})[0]
	g.up()
	s := g.login()

	// falls upgrades to a version that does not come up; the node is in slot a again.
	falls := func(name string, words []string, edits []edit, reason string, events ...string) {
		sub(t, name, func(t *testing.T) {
			bad := all.build(t, otherInit(t, strings.Fields(name)[0], "arm64", edits...), words...)
			before := len(g.Output())
			if out, code := l.upgrade(t, g, bad, "from="+v1.image); code != 7 || !regexp.MustCompile(`rolled back .*`+reason).MatchString(out) {
				t.Errorf("got code %d, want 7 with %q", code, reason)
			}
			s = g.login()
			runs(t, s, v1, "a")
			console := g.Output()[before:]
			for _, e := range append([]string{"booting slot b"}, append(events, "booting slot a")...) {
				at := regexp.MustCompile(e).FindStringIndex(console)
				if at == nil {
					t.Errorf("the console has no %q where it should", e)
					continue
				}
				console = console[at[1]:]
			}
		}, g)
	}
	falls("no init", good, []edit{{"builder/image/kernel.go", `{{Path: "init", `, `{{Path: "gone", `}},
		"trial-b-exhausted", "Kernel panic - not syncing", "booting slot b", "booting slot b")
	falls("the kernel panics, the network is lost", good, []edit{soon, noNetwork,
		{"init/boot/steps_linux.go", "import (\n", "import (\n	\"os\"\n"}, {"init/boot/steps_linux.go", stepOfInit, stepOfInit + `
	if n.Pre().Cmdline["shelf.left"] == "2" && number > 2 {
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	}
`}}, "unhealthy", "Kernel panic - not syncing: sysrq triggered crash", "booting slot b", "not healthy after 40s: .*address")

	sub(t, "one interrupted, then another version, then one more", func(t *testing.T) {
		v3 := all.build(t, otherInit(t, "three", "arm64", named("three")), good...)
		u := l.begin(t, g, v2, "from="+v1.image)
		u.see(`\bwrite\b`)
		u.interrupt()
		for _, step := range []struct {
			r, from release
			slot    string
		}{{v3, v1, "b"}, {v2, v3, "a"}} {
			if out, code := l.upgrade(t, g, step.r, "from="+step.from.image); code != 0 || !strings.Contains(out, "is committed") {
				t.Fatalf("%s: code %d", step.r.version, code)
			}
			s = g.login()
			runs(t, s, step.r, step.slot)
		}
	}, g)

	g.login().off()
}

// interrupt ends it as Ctrl-C does.
func (r *running) interrupt() {
	_ = r.cmd.Process.Signal(os.Interrupt)
	<-r.end
}
