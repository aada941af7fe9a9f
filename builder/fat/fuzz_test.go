package fat

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
)

// FuzzWrite takes a list of names, one a line, and sizes; what Plan accepts must please fsck.vfat and be read back.
func FuzzWrite(f *testing.F) {
	f.Add("config.txt\noverlays/README\nbcm2711-rpi-4-b.dtb\n", uint32(5000), uint32(3), uint8(9))
	f.Add("a\nA\n", uint32(0), uint32(1), uint8(9))
	f.Add(strings.Repeat("long name ", 20)+"x\n~1\n~1.~1\nX~1\n...a\n b\n", uint32(4096), uint32(1), uint8(10))
	f.Add("a/b/c/d\na/b/c\na/b/e\né/ß\n%\n", uint32(513), uint32(77), uint8(9))
	f.Add("KELVIN \u212a\nkelvin k\nI\nı\n", uint32(1), uint32(1), uint8(9))
	f.Fuzz(func(t *testing.T, names string, size, step uint32, shift uint8) {
		v := &Volume{ID: size, Label: "FUZZ", ClusterSize: 1 << (9 + shift%3)}
		v.Size = int64(v.ClusterSize) * (MinClusters + 2000)
		for i, name := range strings.Split(strings.TrimRight(names, "\n"), "\n") {
			if i == 40 {
				break
			}
			n := int(size+uint32(i)*step) % 100000
			v.Files = append(v.Files, data(name, bytes.Repeat([]byte{byte(i + 1)}, n)))
		}
		if _, err := v.Plan(); err != nil {
			return
		}
		img := create(t, v)
		fsck(t, img)
		disk, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer disk.Close()
		fs, err := fat32.Read(file.New(disk, true), v.Size, 0, 512)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range v.Files {
			r, err := fs.OpenFile("/"+f.Path, os.O_RDONLY)
			if err != nil {
				t.Fatalf("%q: %v", f.Path, err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, content(t, f)) {
				t.Fatalf("%q: %d bytes of %d, %v", f.Path, len(got), f.Size, err)
			}
		}
	})
}
