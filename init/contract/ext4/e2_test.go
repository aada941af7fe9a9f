package ext4

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/qemu/tool"
)

func e2(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd, err := tool.Command(context.Background(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil && (name != "e2fsck" || cmd.ProcessState.ExitCode() > 1) {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func change(t testing.TB, img string, commands ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := e2(t, "debugfs", "-w", "-f", script, img)
	for line := range strings.Lines(out) {
		if strings.Contains(line, ": ") && !strings.HasPrefix(line, "debugfs") && !strings.Contains(line, "Allocated inode") {
			t.Fatalf("debugfs: %s", line)
		}
	}
}

func makeImage(t testing.TB, size, dir string, args ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "fs.img")
	e2(t, "mke2fs", slices.Concat([]string{"-q", "-F"}, args, []string{"-d", dir, img, size})...)
	return img
}

func copyFile(t testing.TB, from string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.img")
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func differing(t testing.TB, a, b string, block int) (list []int, content []byte) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+block <= len(x); i += block {
		if !bytes.Equal(x[i:i+block], y[i:i+block]) {
			list = append(list, i/block)
			content = append(content, y[i:i+block]...)
		}
	}
	return list, content
}

func folder(t testing.TB, big int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "a/b/c"), 0o755))
	must(os.MkdirAll(filepath.Join(dir, "many"), 0o700))
	for i := range 600 {
		must(os.WriteFile(filepath.Join(dir, "many", fmt.Sprintf("file-with-quite-a-long-name-to-fill-blocks-%04d", i)), []byte(fmt.Sprint(i)), 0o600))
	}
	must(os.WriteFile(filepath.Join(dir, "a/empty"), nil, 0o640))
	must(os.WriteFile(filepath.Join(dir, "a/"+strings.Repeat("n", 255)), []byte("long name"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "a/ünï\xff"), []byte("bytes"), 0o600))
	must(os.Symlink("/k3os/system/x.yaml", filepath.Join(dir, "a/short")))
	must(os.Symlink(strings.Repeat("/x", 500), filepath.Join(dir, "a/long")))
	must(os.Symlink("b/../b/c", filepath.Join(dir, "a/inner")))
	noise := make([]byte, 700000)
	rand.New(rand.NewSource(1)).Read(noise)
	must(os.WriteFile(filepath.Join(dir, "a/b/noise"), noise, 0o600))
	f, err := os.Create(filepath.Join(dir, "a/b/holes"))
	must(err)
	defer f.Close()
	for _, off := range []int64{5000, 300000, big} {
		_, err = f.WriteAt(noise[:9000], off)
		must(err)
	}
	must(f.Truncate(big + 100000))
	must(os.Link(filepath.Join(dir, "a/b/noise"), filepath.Join(dir, "a/hard")))
	return dir
}
