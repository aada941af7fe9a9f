package image

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"aead.dev/minisign"

	"imgbuild/qemu/tool"
)

// The sums are signed where there is a key, in a form that minisign checks; a signature of other
// sums is not left behind.
func TestSignedSums(t *testing.T) {
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, SumsName)
	sums := []byte("aa  node.img\n")
	b := &build{Options: Options{Out: dir, Key: &private}}
	if err := b.writeSums(sums); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		cmd, err := tool.Command(t.Context(), "minisign", "-V", "-q", "-m", file, "-P", public.String())
		if err != nil {
			t.Fatal(err)
		}
		return cmd.Run()
	}
	if err := check(); err != nil {
		t.Errorf("minisign refuses the signature: %v", err)
	}
	if len(b.result.Files) != 1 || b.result.Files[0] != file+".minisig" {
		t.Errorf("got the files %q, want the signature", b.result.Files)
	}
	b.Key = nil
	if err := b.writeSums(sums); err != nil {
		t.Fatal(err)
	}
	if err := check(); err != nil {
		t.Errorf("a build without a key that changes nothing: %v", err)
	}
	if err := b.writeSums([]byte("bb  node.img\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file + ".minisig"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the signature of other sums is still there: %v", err)
	}
	if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, []byte("bb  node.img\n")) {
		t.Errorf("got %q, %v", data, err)
	}
}
