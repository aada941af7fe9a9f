package verity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"imgbuild/qemu/tool"

	dmverity "github.com/containerd/go-dmverity/pkg/verity"
)

// sizes in blocks: no tree, one hash block, the step to two and three levels.
var sizes = []int64{1, 2, 127, 128, 129, 1000, 128 * 128, 128*128 + 1}

func testData(blocks int64) []byte {
	b := make([]byte, blocks*BlockSize)
	rand.NewChaCha8([32]byte{byte(blocks)}).Read(b)
	return b
}

func build(t *testing.T, data, salt []byte) (root [32]byte, tree []byte) {
	t.Helper()
	var w bytes.Buffer
	root, n, err := Build(bytes.NewReader(data), int64(len(data)), salt, &w)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	for blocks := len(data) / BlockSize; blocks > 1; {
		blocks = (blocks + perBlock - 1) / perBlock
		want += int64(blocks) * BlockSize
	}
	if n != int64(w.Len()) || n != want {
		t.Fatalf("got a tree of %d bytes, reported as %d, want %d", w.Len(), n, want)
	}
	return root, w.Bytes()
}

func TestVeritysetupAgrees(t *testing.T) {
	veritysetup := tool.Path(t, "veritysetup")
	salt := bytes.Repeat([]byte{0xa5, 7}, 16)
	for _, blocks := range sizes {
		t.Run(fmt.Sprint(blocks), func(t *testing.T) {
			data := testData(blocks)
			root, tree := build(t, data, salt)
			dir := t.TempDir()
			dataFile, treeFile, theirs := filepath.Join(dir, "data"), filepath.Join(dir, "tree"), filepath.Join(dir, "theirs")
			write(t, dataFile, data)
			write(t, treeFile, tree)
			write(t, theirs, nil)
			args := func(verb, hash string) []string {
				return []string{verb, "--no-superblock", "--hash=sha256", "--format=1", "--data-block-size=4096", "--hash-block-size=4096",
					"--salt=" + hex.EncodeToString(salt), fmt.Sprintf("--data-blocks=%d", blocks), dataFile, hash}
			}
			out, err := exec.Command(veritysetup, args("format", theirs)...).CombinedOutput()
			if err != nil {
				t.Fatalf("veritysetup format: %v\n%s", err, out)
			}
			if !bytes.Contains(out, []byte(hex.EncodeToString(root[:]))) {
				t.Fatalf("root is %x, veritysetup prints\n%s", root, out)
			}
			want, err := os.ReadFile(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(tree, want) {
				t.Fatalf("tree of %d bytes differs from veritysetup's of %d", len(tree), len(want))
			}
			if blocks == 1 {
				return // veritysetup wants a hash device even where it has nothing to read from it
			}
			verify := append(args("verify", treeFile), hex.EncodeToString(root[:]))
			if out, err := exec.Command(veritysetup, verify...).CombinedOutput(); err != nil {
				t.Fatalf("veritysetup verify: %v\n%s", err, out)
			}
			data[len(data)-1] ^= 1
			write(t, dataFile, data)
			if out, err := exec.Command(veritysetup, verify...).CombinedOutput(); err == nil {
				t.Fatalf("veritysetup accepts changed data\n%s", out)
			}
		})
	}
}

func TestGoDmverityAgrees(t *testing.T) {
	salt := []byte("some salt")
	for _, blocks := range sizes[1:] {
		data := testData(blocks)
		root, tree := build(t, data, salt)
		dir := t.TempDir()
		dataFile, treeFile := filepath.Join(dir, "data"), filepath.Join(dir, "tree")
		write(t, dataFile, data)
		write(t, treeFile, make([]byte, len(tree)))
		p := dmverity.DefaultParams()
		p.DataBlockSize, p.HashBlockSize, p.NoSuperblock, p.Salt, p.SaltSize, p.DataBlocks = BlockSize, BlockSize, true, salt, uint16(len(salt)), uint64(blocks)
		want, err := dmverity.Create(&p, dataFile, treeFile)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.ReadFile(treeFile)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(root[:], want) || !bytes.Equal(tree, theirs) {
			t.Errorf("%d blocks: root %x, go-dmverity has %x; same tree: %v", blocks, root, want, bytes.Equal(tree, theirs))
		}
	}
}

func TestSameOnAnyNumberOfCores(t *testing.T) {
	data := testData(1000)
	want, wantTree := build(t, data, nil)
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	root, tree := build(t, data, nil)
	if root != want || !bytes.Equal(tree, wantTree) {
		t.Error("one core gives another tree")
	}
}

func TestRefuses(t *testing.T) {
	data := testData(200)
	broken := errors.New("disk on fire")
	for name, c := range map[string]struct {
		data io.ReaderAt
		size int64
		salt []byte
		w    io.Writer
		is   error
	}{
		"no data":          {bytes.NewReader(nil), 0, nil, io.Discard, nil},
		"negative size":    {bytes.NewReader(nil), -BlockSize, nil, io.Discard, nil},
		"half a block":     {bytes.NewReader(data), BlockSize / 2, nil, io.Discard, nil},
		"too much data":    {bytes.NewReader(data), 1 << 50, nil, io.Discard, nil},
		"a long salt":      {bytes.NewReader(data), BlockSize, make([]byte, 257), io.Discard, nil},
		"truncated data":   {bytes.NewReader(data[:len(data)-1]), int64(len(data)), nil, io.Discard, io.EOF},
		"a reader's error": {failing{broken}, int64(len(data)), nil, io.Discard, broken},
		"a writer's error": {bytes.NewReader(data), int64(len(data)), nil, failing{broken}, broken},
	} {
		_, _, err := Build(c.data, c.size, c.salt, c.w)
		if err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// FuzzBuild checks each hash of the tree by the definition: a block's place in the tree and its
// hash.
func FuzzBuild(f *testing.F) {
	f.Add([]byte("x"), []byte("salt"), uint16(1))
	f.Add([]byte{}, []byte{}, uint16(129))
	f.Fuzz(func(t *testing.T, content, salt []byte, blocks uint16) {
		data := make([]byte, (int64(blocks)%400+1)*BlockSize)
		copy(data, content)
		salt = salt[:min(len(salt), maxSalt)]
		root, tree := build(t, data, salt)
		h := newHasher(salt)
		level := data
		for len(level) > BlockSize {
			n := (len(level)/BlockSize + perBlock - 1) / perBlock * BlockSize
			up := tree[len(tree)-n:]
			tree = tree[:len(tree)-n]
			for i := 0; i < len(level); i += BlockSize {
				if at := i / BlockSize * hashSize; !bytes.Equal(up[at:at+hashSize], h.sum(nil, level[i:i+BlockSize])) {
					t.Fatalf("hash of block %d is wrong", i/BlockSize)
				}
			}
			level = up
		}
		if len(tree) != 0 || !bytes.Equal(root[:], h.sum(nil, level)) {
			t.Fatalf("%d bytes too many, root %x", len(tree), root)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	data := testData(16 << 10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := Build(bytes.NewReader(data), int64(len(data)), make([]byte, 32), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)         { return 0, f.err }

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
