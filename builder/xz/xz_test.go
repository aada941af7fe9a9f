package xz_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"imgbuild/builder/xz"
	"imgbuild/qemu/tool"
)

const limit = 128 << 20

// command is the path of the xz command of Debian's package.
func command(t testing.TB) *exec.Cmd {
	t.Helper()
	cmd, err := tool.Command(t.Context(), "xz")
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// pack compresses by the xz command, with options as in a shell.
func pack(t testing.TB, plain []byte, options string) []byte {
	t.Helper()
	cmd := command(t)
	cmd.Args = append(cmd.Args, append([]string{"-c"}, strings.Fields(options)...)...)
	cmd.Stdin = bytes.NewReader(plain)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz %s: %v", options, err)
	}
	return out
}

func unpack(packed []byte, limit int) ([]byte, error) {
	z := xz.NewReader(bytes.NewReader(packed), limit)
	defer z.Close()
	var b bytes.Buffer
	_, err := z.WriteTo(&b)
	return b.Bytes(), err
}

// samples are contents that an encoder treats in different ways.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300_000)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for i := range 15_000 {
		fmt.Fprintf(&text, "%d: the %x of %d\n", i, r.Uint32N(9), r.Uint32N(1000))
	}
	var periods []byte // of every short length, which is where a match overlaps itself
	for n := 1; n < 40; n++ {
		periods = append(periods, bytes.Repeat(random[n*100:n*100+n], 1+400/n)...)
	}
	return map[string][]byte{
		"empty": nil, "one byte": {7}, "zeros": make([]byte, 5<<20), "random": random, "text": text.Bytes(), "periods": periods,
		"program": program[:min(len(program), 1<<20)],
		"mixed":   bytes.Join([][]byte{random[:90_000], text.Bytes()[:100_000], random[:90_000], make([]byte, 70_000), random}, nil),
	}
}

func TestLikeTheCommand(t *testing.T) {
	for name, plain := range samples(t) {
		for _, options := range []string{
			"-0", "-6", "-9e", "--check=none", "--check=crc32", "--check=sha256", "-1 -T2 --block-size=256KiB", "-1 -T1 --block-size=100KiB",
			"--lzma2=dict=4KiB", "--lzma2=preset=1,lc=0,lp=4,pb=4", "--lzma2=preset=1,lc=4,lp=0,pb=0", "--lzma2=preset=1,lc=1,lp=3,pb=1", "--lzma2=preset=0,dict=6MiB,mf=hc3,nice=5",
		} {
			packed := pack(t, plain, options)
			got, err := unpack(packed, limit)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, xz %s: %v, %d bytes, want %d", name, options, err, len(got), len(plain))
			}
			// In small steps, from an input that comes in small ones.
			if len(plain) > 100_000 {
				continue
			}
			z := xz.NewReader(iotest.HalfReader(bytes.NewReader(packed)), limit)
			if got, err = io.ReadAll(iotest.OneByteReader(z)); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, xz %s, in small steps: %v, %d bytes, want %d", name, options, err, len(got), len(plain))
			}
			z.Close()
		}
	}
}

func TestStreams(t *testing.T) {
	a, b := pack(t, []byte("first "), "--check=crc32"), pack(t, []byte("second"), "--check=sha256")
	pad := make([]byte, 8)
	for _, c := range []struct {
		name   string
		packed [][]byte
		want   string
		fault  error
	}{
		{"two", [][]byte{a, b}, "first second", nil},
		{"padding between and after", [][]byte{a, pad, b, pad[:4]}, "first second", nil},
		{"padding of three bytes", [][]byte{a, pad[:3]}, "first ", io.ErrUnexpectedEOF},
		{"padding of five bytes between", [][]byte{a, pad[:5], b}, "first ", xz.ErrDamaged},
		{"padding first", [][]byte{pad, a}, "", xz.ErrDamaged},
		{"garbage after", [][]byte{a, []byte("garbage, garbage")}, "first ", xz.ErrDamaged},
		{"a little garbage after", [][]byte{a, []byte("gar")}, "first ", io.ErrUnexpectedEOF},
		{"nothing", nil, "", io.ErrUnexpectedEOF},
		{"something else", [][]byte{[]byte("BZh91AY&SY, and so on")}, "", xz.ErrDamaged},
	} {
		got, err := unpack(bytes.Join(c.packed, nil), limit)
		if string(got) != c.want || !errors.Is(err, c.fault) {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, got, err, c.want, c.fault)
		}
	}
}

func TestRefused(t *testing.T) {
	plain := []byte(strings.Repeat("what is refused ", 100))
	for _, options := range []string{"--x86 --lzma2", "--arm --lzma2", "--delta=dist=4 --lzma2", "--lzma2=dict=64MiB"} {
		if got, err := unpack(pack(t, plain, options), 32<<20); !errors.Is(err, xz.ErrUnsupported) || len(got) > 0 {
			t.Errorf("xz %s: %d bytes, %v, want %v", options, len(got), err, xz.ErrUnsupported)
		}
	}
	if _, err := unpack(pack(t, plain, "--format=lzma"), limit); !errors.Is(err, xz.ErrDamaged) {
		t.Errorf("lzma: %v", err)
	}
}

// TestDamage alters each bit, and cuts at each byte, of streams with several blocks and chunks of
// all kinds.
func TestDamage(t *testing.T) {
	s := samples(t)
	plain := bytes.Join([][]byte{s["text"][:600], s["random"][:300], s["text"][:600], s["zeros"][:5000], s["program"][:300]}, nil)
	for _, options := range []string{"--check=crc32 -T1 --block-size=3000", "--check=crc64 -T2 --block-size=4000", "--check=sha256"} {
		packed := pack(t, plain, options)
		if got, err := unpack(packed, limit); err != nil || !bytes.Equal(got, plain) {
			t.Fatal(options, err)
		}
		same := 0
		for i := range packed {
			if got, err := unpack(packed[:i], limit); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("xz %s, cut at %d of %d: %d bytes, %v", options, i, len(packed), len(got), err)
			}
			for bit := range 8 {
				packed[i] ^= 1 << bit
				got, err := unpack(packed, limit)
				if err == nil && bytes.Equal(got, plain) {
					same++
				} else if !errors.Is(err, xz.ErrDamaged) && !errors.Is(err, xz.ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("xz %s, bit %d of byte %d of %d altered: %d bytes, %v", options, bit, i, len(packed), len(got), err)
				}
				packed[i] ^= 1 << bit
			}
		}
		// The bits for properties of a literal in a block that has one literal alone.
		if same > 5 {
			t.Errorf("xz %s: %d altered bits make no difference", options, same)
		}
	}
}

func TestReadError(t *testing.T) {
	packed := pack(t, samples(t)["text"], "-1")
	boom := errors.New("boom")
	for _, n := range []int{0, 5, 20, 1000, len(packed) - 1} {
		z := xz.NewReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(boom)), limit)
		for range 2 { // it stays
			if _, err := io.Copy(io.Discard, z); !errors.Is(err, boom) {
				t.Errorf("an error after %d bytes: %v", n, err)
			}
		}
		z.Close()
		if _, err := z.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		z.Close()
	}
}
