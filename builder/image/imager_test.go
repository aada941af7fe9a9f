package image

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/builder/recipe"
)

// decided is the recipe of a worker without k3s, as far as it needs no network.
func decided(t *testing.T, board string) *recipe.Ready {
	t.Helper()
	a, err := recipe.New(board, "worker", recipe.Choice{})
	if err != nil {
		t.Fatal(err)
	}
	l, miss, err := a.TakeLock("")
	if err != nil || l == nil {
		t.Fatalf("got no lock for %s: %v %v", board, miss, err)
	}
	r, err := l.Decide(t.Context(), recipe.NoK3s, recipe.Carried{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The list next to an image for a Raspberry Pi has every field that Imager asks for, and makes it
// write cloud-init's files.
func TestImagerList(t *testing.T) {
	write := func(board string) (string, []byte) {
		r := decided(t, board)
		out := filepath.Join(t.TempDir(), "a b")
		b := &build{Options: Options{Recipe: r, Out: out}, imageSum: strings.Repeat("ab", 32), temp: out}
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		b.result.Name, b.result.Version, b.result.Size, b.result.Packed, b.result.Manifest.Date = "rpi4-worker-1", "1", 1<<31, 1<<27, 1767225600
		if err := b.writeImager(); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(out, "rpi4-worker-1.rpi-imager-manifest"))
		return out, data
	}
	out, data := write("rpi4")
	var got struct {
		Imager struct {
			Devices []struct{ Tags []string }
		}
		OSList []map[string]any `json:"os_list"`
	}
	if err := json.Unmarshal(data, &got); err != nil || len(got.OSList) != 1 || len(got.Imager.Devices) != 1 || got.Imager.Devices[0].Tags[0] != "pi4-64bit" {
		t.Fatalf("%v\n%s", err, data)
	}
	os := got.OSList[0]
	for name, want := range map[string]any{"url": "file://" + strings.ReplaceAll(out, " ", "%20") + "/rpi4-worker-1.img.zst", "extract_size": float64(1 << 31), "image_download_size": float64(1 << 27),
		"extract_sha256": strings.Repeat("ab", 32), "release_date": "2026-01-01", "init_format": "cloudinit"} {
		if os[name] != want {
			t.Errorf("%s is %v, want %v", name, os[name], want)
		}
	}
	for _, name := range []string{"name", "description", "icon", "devices"} {
		if _, ok := os[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if _, data := write("qemu-arm64"); data != nil {
		t.Errorf("a board that Imager does not know has a list:\n%s", data)
	}
}
