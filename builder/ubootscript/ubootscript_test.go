package ubootscript

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

const sample = "echo one\nif test \"${a}\" = b; then\n\treset\nfi\n"

func TestImageRoundTrip(t *testing.T) {
	for _, script := range []string{"", "x", sample, strings.Repeat("echo ü\n", 5000)} {
		got, time, err := Parse(Image(script, 1700000000))
		if err != nil || got != script || time != 1700000000 {
			t.Fatalf("%q, %d, %v", got, time, err)
		}
	}
}

// mkimage writes the same bytes for the same name, architecture and time.
func TestImageLikeMkimage(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool.Path(t, "mkimage"), "-A", "arm", "-O", "linux", "-T", "script", "-C", "none", "-n", scriptName, "-d", in, out)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := Image(sample, 1700000000); !bytes.Equal(got, want) {
		t.Fatalf("got  %x\nwant %x", got, want)
	}
}

func TestParseDamage(t *testing.T) {
	good := Image(sample, 1)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		if _, _, err := Parse(bad); err == nil {
			t.Fatalf("byte %d altered was read", i)
		}
		if _, _, err := Parse(good[:i]); err == nil {
			t.Fatalf("%d bytes were read", i)
		}
	}
	if _, _, err := Parse(append(slices.Clone(good), 0)); err == nil {
		t.Fatal("a byte too many was read")
	}
	if _, _, err := Parse(Image("a\x00b", 1)); err == nil {
		t.Fatal("a NUL in the text was read")
	}
}

func TestEnvironment(t *testing.T) {
	vars := map[string]string{"bootdelay": "0", "bootcmd": "if true; then echo a=b; fi", "z": "1"}
	data, err := Environment(vars, 0x4000)
	if err != nil || len(data) != 0x4000 {
		t.Fatalf("got %v, %v, want %v", len(data), err, 0x4000)
	}
	if !bytes.HasPrefix(data[4:], []byte("bootcmd=if true; then echo a=b; fi\x00bootdelay=0\x00z=1\x00\x00")) {
		t.Fatalf("%q", data[:64])
	}
	got, err := ParseEnvironment(data)
	if err != nil || !maps.Equal(got, vars) {
		t.Fatal(got, err)
	}
	data[100] ^= 1
	if _, err := ParseEnvironment(data); err == nil {
		t.Fatal("an altered block was read")
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"no name": {"": "x"}, "name": {"a=b": "x"}, "empty": {"a": ""}, "break": {"a": "x\ny"}, "nul": {"a": "x\x00"},
		"too long": {"a": strings.Repeat("x", 100)},
	} {
		if _, err := Environment(vars, 64); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if _, err := Environment(nil, 4); err == nil {
		t.Error("four bytes were enough")
	}
	full := map[string]string{"a": strings.Repeat("x", 64-4-3-1)}
	if _, err := Environment(full, 64); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Image(sample, 0))
	f.Add(Image("", 1<<31))
	f.Fuzz(func(t *testing.T, data []byte) {
		script, time, err := Parse(data)
		if err != nil {
			return
		}
		if again, at, err := Parse(Image(script, time)); err != nil || again != script || at != time {
			t.Fatalf("%q came back as %q, %v: got %v, want %v", script, again, err, at, time)
		}
	})
}

func FuzzEnvironment(f *testing.F) {
	f.Add("bootcmd", "run x; reset", 64)
	f.Add("a", "=", 8)
	f.Fuzz(func(t *testing.T, name, value string, size int) {
		vars := map[string]string{name: value, "other": "1"}
		data, err := Environment(vars, min(size, 1<<16))
		if err != nil {
			return
		}
		if got, err := ParseEnvironment(data); err != nil || !maps.Equal(got, vars) {
			t.Fatalf("%v came back as %v, %v", vars, got, err)
		}
	})
}
