package codec

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"imgbuild/init/contract/zstdblock"
	"imgbuild/qemu/tool"
)

// content is words that come again, n bytes.
func content(n int) []byte {
	var out []byte
	for x := uint64(1); len(out) < n; {
		x = x*6364136223846793005 + 1442695040888963407
		out = fmt.Appendf(out, "%d ", x>>40%3000)
		if x>>60 == 0 {
			out = binary.LittleEndian.AppendUint64(out, x)
		}
	}
	return out[:n]
}

// stored returns the stored form of content of any kind.
func stored(t testing.TB, k Kind, content []byte) []byte {
	t.Helper()
	if k == Gzip || k == Stream {
		var b bytes.Buffer
		w, err := NewWriter(k, &b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var e zstdblock.Encoder
	out, err := Encode(nil, &e, k, content)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGolden holds the encoders' output to their versions. A hash that differs means that nodes
// cannot make what this program builds: raise the version of the encoder (gzipVersion here,
// zstdblock.Version or StreamVersion there) and enter the hash.
func TestGolden(t *testing.T) {
	golden := map[Kind]string{Gzip: "3d892c4b16c2a4a7", Stream: "9da9c1293edc68cd", Block: "3ab91f4baaba4cd2", Meta: "c483468fa52ba3e5"}
	sizes := map[Kind]int{Gzip: 1<<20 + 5000, Stream: 1<<20 + 5000, Block: 256 << 10, Meta: 8 << 10}
	for k, want := range golden {
		sum := sha256.Sum256(stored(t, k, content(sizes[k])))
		if got := fmt.Sprintf("%x", sum[:8]); got != want {
			t.Errorf("%s, encoder %s: %s, was %s", k, k.Encoder(), got, want)
		}
	}
	want := []Encoder{{"gzip", 1}, {"zstdblock", 3}, {"zstdstream", 3<<8 | 2}}
	if got := Encoders(); !slices.Equal(got, want) {
		t.Errorf("the encoders are %v, the hashes are of %v", got, want)
	}
}

// TestGoldenElsewhere runs TestGolden as the nodes' processors do.
func TestGoldenElsewhere(t *testing.T) {
	for goarch, emulator := range map[string]string{"arm64": "qemu-aarch64", "arm": "qemu-arm"} {
		t.Run(goarch, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "codec.test")
			cmd := exec.Command("go", "test", "-c", "-o", program, ".")
			cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARM=7", "GOARCH="+goarch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			run, err := tool.File(t.Context(), "qemu-user", "usr/bin/"+emulator) // a static program
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(run, program, "-test.run", "^TestGolden$", "-test.v").CombinedOutput()
			if err != nil || !bytes.Contains(out, []byte("--- PASS: TestGolden")) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	noise := sha256.Sum256(nil)
	for _, c := range [][]byte{content(1), content(5000), content(8 << 10), noise[:]} {
		for _, k := range []Kind{Block, Meta} {
			if k == Block && len(c) < 100 {
				continue // a block that does not compress is stored raw
			}
			s := stored(t, k, c)
			got, err := d.Decode(make([]byte, 0, len(c)), s, k, int64(len(c)))
			if err != nil || !bytes.Equal(got, c) {
				t.Errorf("%s of %d bytes comes back as %d: %v", k, len(c), len(got), err)
			}
			for _, raw := range []int{len(c) - 1, len(c) + 1} {
				if _, err := d.Decode(make([]byte, 0, len(c)+1), s, k, int64(raw)); err == nil {
					t.Errorf("%s of %d bytes passes for %d", k, len(c), raw)
				}
			}
			if _, err := d.Decode(make([]byte, 0, len(c)), s[:len(s)-1], k, int64(len(c))); err == nil {
				t.Errorf("%s of %d bytes that was cut passes", k, len(c))
			}
		}
	}
	for _, k := range []Kind{Gzip, Stream} {
		c := content(2 << 20)
		r, err := NewReader(k, bytes.NewReader(stored(t, k, c)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, c) {
			t.Errorf("%s comes back as %d bytes: %v", k, len(got), err)
		}
		r.Close()
	}
}

// TestBomb: a small frame that holds much gives no more than was asked for.
func TestBomb(t *testing.T) {
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zstdblock.NewWriter(&b)
	w.Write(make([]byte, 64<<20))
	w.Close()
	got, err := d.Decode(make([]byte, 0, 4096), b.Bytes(), Block, 4096)
	if err == nil || cap(got) > 4096 {
		t.Errorf("64 MiB in %d bytes give %d: %v", b.Len(), cap(got), err)
	}
}

func TestHas(t *testing.T) {
	if !Has(nil, Raw) || Has(nil, Gzip) || !Has(Encoders(), Stream) {
		t.Error("what needs no encoder is always there, all else only if both have it")
	}
	old := Encoders()
	old[1].Version--
	if Has(old, Block) || Has(old, Meta) || !Has(old, Gzip) {
		t.Errorf("with %v", old)
	}
}

func TestKinds(t *testing.T) {
	if _, err := NewWriter(Raw, io.Discard); err == nil {
		t.Error("raw has a stream encoder")
	}
	if _, err := NewReader(Block, bytes.NewReader(nil)); err == nil {
		t.Error("a block has a stream decoder")
	}
	if _, err := Encode(nil, nil, Tree, nil); err == nil {
		t.Error("a tree has an encoder")
	}
	if _, err := NewReader(Gzip, bytes.NewReader([]byte("no gzip"))); err == nil || errors.Is(err, io.ErrShortWrite) {
		t.Errorf("nonsense opens as gzip: %v", err)
	}
}
