package image

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"imgbuild/builder/blockcache"
)

// A build of which all is there is not made again; whatever is gone, was touched or is asked for in
// another way is.
func TestUnchanged(t *testing.T) {
	cache, err := blockcache.Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	file := func(suffix string) string { return filepath.Join(out, "node"+suffix) }
	r := decided(t, "rpi4")
	runs := 0
	build1 := func(change func(*build)) *Result {
		t.Helper()
		b := &build{Options: Options{Recipe: r, Cache: cache, Out: out, Config: []byte("hostname: a\n"), Warnings: []string{"w"}}, version: "v"}
		b.result.Name = "node"
		if change != nil {
			change(b)
		}
		res, err := b.cached(func() error {
			runs++
			b.imageSum = "aa"
			b.result.Image, b.result.Files, b.result.SlotUsed = file(".img"), []string{file(".img"), file(".json"), filepath.Join(out, SumsName)}, 7
			for _, name := range b.result.Files[:2] {
				if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
					return err
				}
			}
			return os.WriteFile(filepath.Join(out, SumsName), []byte("aa  node.img\nbb  other.img\n"), 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	again := func(what string, want bool, change func(*build)) {
		t.Helper()
		before := runs
		build1(change)
		if got := runs > before; got != want {
			t.Errorf("%s: built %v, want %v", what, got, want)
		}
	}
	first := build1(nil)
	old := time.Now().Add(-time.Hour)
	same := build1(nil)
	if runs != 1 || !reflect.DeepEqual(same, first) {
		t.Errorf("after %d builds got %+v, want %+v after one", runs, same, first)
	}
	again("nothing changed", false, nil)
	again("another image in the sums", false, func(*build) {
		os.WriteFile(filepath.Join(out, SumsName), []byte("aa  node.img\ncc  third.img\n"), 0o600)
	})
	for what, change := range map[string]func(*build){
		"configuration": func(b *build) { b.Config = []byte("hostname: b\n") }, "no configuration": func(b *build) { b.Config = nil },
		"keys": func(b *build) { b.Login = "me" }, "image only": func(b *build) { b.ImageOnly = true }, "warnings": func(b *build) { b.Warnings = nil },
		"name": func(b *build) { b.result.Name = "other" }, "version": func(b *build) { b.version = "w" }, "a node": func(b *build) { b.Node = &Node{} },
	} {
		again(what, true, change)
	}
	for what, damage := range map[string]func() error{
		"the image is gone":    func() error { return os.Remove(file(".img")) },
		"the image is longer":  func() error { return os.WriteFile(file(".img"), []byte("xx"), 0o600) },
		"the list was touched": func() error { return os.Chtimes(file(".json"), old, old) },
		"the sums are gone":    func() error { return os.Remove(filepath.Join(out, SumsName)) },
		"the sums are others":  func() error { return os.WriteFile(filepath.Join(out, SumsName), []byte("ab  node.img\n"), 0o600) },
	} {
		build1(nil)
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		again(what, true, nil)
		again(what+", and built", false, nil)
	}
	b := &build{Options: Options{Recipe: r, Cache: cache, Out: out}, version: "failing"}
	if _, err := b.cached(func() error { return errors.New("no") }); err == nil {
		t.Error("a failed build has no error")
	}
	again("after a failed one", true, func(b *build) { b.version = "failing" })
}
