package bmap

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

func TestRanges(t *testing.T) {
	got := Ranges([]Range{{9000, 9001}, {0, 1}, {4096, 8192}, {5, 5}, {20000, 22000}}, 21000)
	want := []Range{{0, 12288}, {16384, 21000}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Ranges(nil, 4096); got != nil {
		t.Errorf("got %v, want none", got)
	}
}

// sample is an image whose last block is short, with rubbish outside of the ranges.
func sample(t *testing.T) (image []byte, m *Map) {
	t.Helper()
	image = make([]byte, 40*Block+100)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(image)
	m, err := Make(bytes.NewReader(image), int64(len(image)), Ranges([]Range{{0, 512}, {4 * Block, 9 * Block}, {40 * Block, 40*Block + 100}}, int64(len(image))))
	if err != nil {
		t.Fatal(err)
	}
	return image, m
}

func TestRoundTrip(t *testing.T) {
	image, m := sample(t)
	if m.Mapped() != 6*Block+100 || m.Sums[1] != sha256.Sum256(image[4*Block:9*Block]) {
		t.Errorf("got %d bytes mapped, sums %x", m.Mapped(), m.Sums)
	}
	back, err := Parse(m.Marshal())
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("got %+v, %v, want %+v", back, err, m)
	}
	if _, err := Make(bytes.NewReader(image[:100]), int64(len(image)), m.Ranges); err == nil {
		t.Error("an image that is too short gives a map")
	}
}

// What is damaged or of another kind is refused.
func TestParseRefuses(t *testing.T) {
	_, m := sample(t)
	good := string(m.Marshal())
	for name, text := range map[string]string{
		"empty": "", "no XML": "hello", "truncated": good[:len(good)/2], "other root": "<x/>",
		"one digit":   strings.Replace(good, "4-8<", "4-7<", 1),
		"version":     strings.Replace(good, `"2.0"`, `"1.3"`, 1),
		"sum kind":    strings.Replace(good, "sha256", "sha1", 1),
		"block size":  strings.Replace(good, "4096", "512", 1),
		"no own sum":  strings.Replace(good, "<BmapFileChecksum>", "<BmapFileChecksum>0", 1),
		"zero length": strings.Replace(good, "<ImageSize>", "<ImageSize>-", 1),
	} {
		if m, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
	}
	for _, ranges := range [][]Range{{{Block, 2 * Block}, {0, Block}}, {{0, 2 * Block}, {Block, 3 * Block}}, {{0, 99 * Block}}} {
		bad := &Map{Size: m.Size, Ranges: ranges, Sums: make([][32]byte, len(ranges))}
		if m, err := Parse(bad.Marshal()); err == nil {
			t.Errorf("%v: got %+v, want an error", ranges, m)
		}
	}
}

// bmaptool writes what is mapped and nothing else, and refuses an image that does not match.
func TestBmaptool(t *testing.T) {
	image, m := sample(t)
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file, blockMap := put("disk.img", image), put("disk.img.bmap", m.Marshal())
	old := bytes.Repeat([]byte{0xAA}, len(image))
	card := put("card", old)
	run := func(file string) ([]byte, error) {
		cmd, err := tool.Command(t.Context(), "bmaptool", "copy", "--bmap", blockMap, file, card)
		if err != nil {
			t.Fatal(err)
		}
		return cmd.CombinedOutput()
	}
	if out, err := run(file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := make([]byte, len(old)) // bmaptool empties a file that it writes to; a disk keeps what it had
	for _, r := range m.Ranges {
		copy(want[r.Start:r.End], image[r.Start:r.End])
	}
	if got, err := os.ReadFile(card); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the card differs: %v", err)
	}
	image[5*Block]++
	if out, err := run(put("damaged.img", image)); err == nil {
		t.Errorf("bmaptool takes a damaged image:\n%s", out)
	}
}

func FuzzParse(f *testing.F) {
	m, err := Make(bytes.NewReader(make([]byte, 9*Block)), 9*Block, []Range{{0, Block}, {3 * Block, 5 * Block}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		if again, err := Parse(m.Marshal()); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("got %+v, %v, want %+v", again, err, m)
		}
	})
}
