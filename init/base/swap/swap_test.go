package swap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"imgbuild/qemu/tool"
)

// TestHeader compares the first page with that of mkswap(8); the UUID, which nobody asks for, is
// the one difference.
func TestHeader(t *testing.T) {
	const size, page = 256 << 20, 4096
	path := filepath.Join(t.TempDir(), "area")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool.Path(t, "mkswap"), "--pagesize", "4096", "--label", "zram", "--uuid", "clear", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	area, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := header(size, page)
	if err != nil {
		t.Fatal(err)
	}
	if want := area[:page]; !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("byte %d is %#x, mkswap writes %#x", i, got[i], want[i])
			}
		}
	}
}

func TestHeaderSizes(t *testing.T) {
	for _, size := range []int64{0, -1, 4096, 1 << 45} {
		if b, err := header(size, 4096); err == nil {
			t.Errorf("%d bytes give a header of %d", size, len(b))
		}
	}
}

func TestDecide(t *testing.T) {
	const size = 64 << 20
	for name, c := range map[string]struct {
		s    state
		want change
	}{
		"none, none is wanted":          {state{}, keep},
		"none yet":                      {state{want: size}, start},
		"as wanted":                     {state{want: size, device: size, active: true, ours: true}, keep},
		"another size":                  {state{want: 2 * size, device: size, active: true, ours: true, available: size}, resize},
		"not wanted any more":           {state{device: size, active: true, ours: true, available: size}, stop},
		"what is in it does not fit":    {state{device: size, active: true, ours: true, used: size, available: size}, later},
		"a user's, none is wanted":      {state{device: size, active: true}, keep},
		"a user's":                      {state{want: size, device: size, active: true}, foreign},
		"a user's file system":          {state{want: size, device: size}, foreign},
		"ours, switched off by hand":    {state{want: size, device: size, ours: true}, start},
		"ours, off by hand, not wanted": {state{device: size, ours: true}, keep},
	} {
		if got := decide(c.s); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}

func TestAreas(t *testing.T) {
	root := t.TempDir()
	if got := Areas(root); got != nil {
		t.Errorf("without /proc: %v", got)
	}
	for name, text := range map[string]string{
		"proc/swaps":               "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zram0                              partition\t65532\t\t1024\t\t100\n/swap\\040file file 1020 0 -2\nnonsense\n",
		"sys/block/zram0/mm_stat":  "  1048576   300000   524288        0   524288        0        0        0        0\n",
		"sys/block/zram0/disksize": "67108864\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []Area{{"/dev/zram0", 65532 << 10, 1 << 20, 524288, 100}, {"/swap\\040file", 1020 << 10, 0, 0, -2}}
	if got := Areas(root); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
