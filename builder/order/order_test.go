package order

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// recorder stores the reports of an order.
type recorder struct{ warnings []string }

func (h *recorder) Progress(string, int64, int64) {}
func (h *recorder) Warn(lines ...string)          { h.warnings = append(h.warnings, strings.Join(lines, "\n")) }

// An order that cannot be carried out is refused before the network is asked for anything:
// the archive here answers nobody.
func TestAsk(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, typo, wrong := file("good.yaml", "ssh_authorized_keys: [github:a]\nhostname: a\n"), file("typo.yaml", "hostnam: a\n"), file("wrong.yaml", "hostname: [a, b]\n")
	for name, c := range map[string]struct {
		with func(*Order)
		want fault.Kind // 0: it can be carried out
	}{
		"as it is":        {func(*Order) {}, 0},
		"a config":        {func(o *Order) { o.Config = good }, 0},
		"a typo":          {func(o *Order) { o.Config = typo }, fault.Input},
		"a typo, lenient": {func(o *Order) { o.Config, o.Lenient = typo, true }, 0},
		"a wrong value":   {func(o *Order) { o.Config, o.Lenient = wrong, true }, fault.Input},
		"empty":           {func(o *Order) { o.Config, o.Lenient = file("empty.yaml", ""), true }, fault.Input},
		"zeros":           {func(o *Order) { o.Config = file("zeros.yaml", "\x00\x00\n") }, fault.Input},
		"a comment":       {func(o *Order) { o.Config = file("comment.yaml", "# none\n") }, 0},
		"no file":         {func(o *Order) { o.Config = dir + "/none" }, fault.Input},
		"no board":        {func(o *Order) { o.Board = "" }, fault.Usage},
		"no such suite":   {func(o *Order) { o.Without = []string{"sid"} }, fault.Usage},
		"k3s is a text":   {func(o *Order) { o.K3s = good }, fault.Input},
		"no such k3s":     {func(o *Order) { o.K3s = dir + "/none" }, fault.Input},
		"two archives":    {func(o *Order) { o.Import, o.Restore = good, good }, fault.Usage},
		"no archive":      {func(o *Order) { o.Import = good }, fault.Input},
		"images, no k3s":  {func(o *Order) { o.K3s, o.Images = "none", []string{good} }, fault.Usage},
		"no images":       {func(o *Order) { o.Images = []string{dir + "/none"} }, fault.Input},
		"out is a file":   {func(o *Order) { o.Out = good }, fault.Device},
		"mirror":          {func(o *Order) { o.Mirror = "nonsense" }, fault.Usage},
	} {
		o := Order{Plan: Plan{Board: "rpi4", Role: "worker", Mirror: "http://127.0.0.1:1/debian", Cache: dir + "/cache"}, Out: filepath.Join(dir, "out")}
		c.with(&o)
		a, err := Ask(o, &recorder{})
		if got := fault.Code(err); got != int(c.want) {
			t.Errorf("%s: got code %d %v, want %d", name, got, err, c.want)
		}
		if err == nil {
			a.Close()
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "out", ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The next stage is the first that needs the archive.
func TestLockNeedsTheArchive(t *testing.T) {
	dir := t.TempDir()
	_, _, err := Build(t.Context(), Order{Plan: Plan{Board: "rpi4", Role: "worker", Mirror: "http://127.0.0.1:1/debian", Cache: dir}, Out: dir}, &recorder{})
	if fault.Code(err) != int(fault.Network) {
		t.Errorf("got %v, want a fault of kind Network", err)
	}
}
