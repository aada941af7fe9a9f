package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// Every file that a verb takes may be missing, a directory or empty: each time the error is one
// sentence with the path and the cause, and nothing is fetched or written before.
func TestFilesThatCannotBeRead(t *testing.T) {
	silence(t)
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Chdir(dir)
	if err := os.WriteFile("empty", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"folder", "folder.tar"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("empty.tar", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("config.yaml", []byte("hostname: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dispatch(t.Context(), []string{"keygen", "passphrase=no"}); err != nil {
		t.Fatal(err)
	}
	const build = "board=rpi4 role=server mirror=http://127.0.0.1:1/debian cache=cache "
	for _, c := range []struct{ words, missing, folder, empty string }{
		{build + "config=FILE", "does not exist", "is a directory", "is empty"},
		{build + "import=FILE", "does not exist", "is a directory", "is empty"},
		{build + "restore=FILE", "does not exist", "is a directory", "is empty"},
		{build + "k3s=./FILE", "does not exist", "is a directory", "is empty"},
		{build + "images=FILE.tar", "does not exist", "is a directory", "is empty"},
		{build + "lock=FILE", "does not exist", "is a directory", "empty"},
		{build + "key=FILE", "does not exist", "is a directory", "is empty"},
		{build + "sign=FILE", "no such file", "is a directory", "is empty"},
		{"plan " + build + "lock=FILE", "does not exist", "is a directory", "empty"},
		{"plan " + build + "k3s=./FILE", "does not exist", "is a directory", "is empty"},
		{"run board=rpi4 role=server image=FILE", "does not exist", "is a directory", "is empty"},
		{"flash FILE card", "does not exist", "is a directory", "is empty"},
		{"flash FILE.zst card", "does not exist", "does not exist", "does not exist"},
		{"bundle FILE", "does not exist", "is a directory", "is empty"},
		{"validate FILE", "does not exist", "is a directory", "errors"},
		{"apply 127.0.0.1:1 config=FILE", "does not exist", "is a directory", "empty"},
		{"apply 127.0.0.1:1 config=config.yaml identity=FILE", "does not exist", "is a directory", "is empty"},
		{"upgrade 127.0.0.1:1 bundle=FILE", "does not exist", "is a directory", "is empty"},
		{"upgrade 127.0.0.1:1 from=FILE", "does not exist", "is a directory", "is empty"},
		{"migrate FILE out=x.tar mode=full", "does not exist", "is a directory", "is empty"},
		{"token rotate 127.0.0.1:1 new=folder/../FILE", "", "is a directory", "is empty"},
	} {
		for name, cause := range map[string]string{"absent": c.missing, "folder": c.folder, "empty": c.empty} {
			if cause == "" {
				continue
			}
			words := strings.ReplaceAll(c.words, "FILE", name)
			err := dispatch(t.Context(), strings.Fields(words))
			switch {
			case fault.Code(err) != int(fault.Input):
				t.Errorf("%s: got code %d, %v, want a fault of kind Input", words, fault.Code(err), err)
			case !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), cause):
				t.Errorf("%s: got %q, want %s and %q in it", words, err, name, cause)
			case strings.Contains(err.Error(), "\n"):
				t.Errorf("%s: got more than a sentence: %q", words, err)
			}
		}
	}
	for _, left := range []string{"cache", "out", "x.tar"} {
		if list, _ := filepath.Glob(left + "/*/*"); len(list) > 0 {
			t.Errorf("work was begun: %q", list)
		}
	}
}
