package config

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseDir(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	fsys := fstest.MapFS{
		"boot/config.d/00-image.yaml": file("shelf: {role: worker, board: rpi4}"),
		"boot/config.d/20-b":          file("hostname: b"),
		"boot/config.d/10-a.yml":      file("hostname: a\nk3os: {token: t}"),
		"boot/config.d/30-broken":     file("hostname: ["),
		"boot/config.d/._20-b":        file("\x00\x05"),
		"boot/config.d/20-b~":         file("hostname: c"),
		"boot/config.d/sub/x":         file("hostname: d"),
		"boot/config.yaml":            file("hostname: z"),
	}
	layers, problems := ParseDir(fsys, "boot/config.d")
	c, _ := Merge(layers...)
	if len(layers) != 4 || c.Hostname != "b" || c.K3OS.Token != "t" || c.Shelf != (Shelf{"worker", "rpi4"}) {
		t.Errorf("%d layers, %+v", len(layers), c)
	}
	if got := fmt.Sprint(problems); len(problems) != 2 || !strings.Contains(got, "boot/config.d/30-broken:1:1: error: this is not YAML") || !strings.Contains(got, "boot/config.d/sub: warning") {
		t.Errorf("problems %v", problems)
	}
	if layers, problems := ParseDir(fsys, "nowhere"); len(layers)+len(problems) > 0 {
		t.Errorf("got %v, %v", layers, problems)
	}
	if l, problems := ParseFile(fsys, "boot/config.yaml"); l.Name != "boot/config.yaml" || !l.Has("hostname") || len(problems) > 0 {
		t.Errorf("got %+v, %v", l, problems)
	}
	if l, problems := ParseFile(fsys, "boot/none.yaml"); !l.Empty() || len(problems) > 0 {
		t.Errorf("got %+v, %v", l, problems)
	}
	if l, problems := ParseFile(fsys, "boot"); !l.Empty() || len(problems) != 1 || !problems[0].Fatal {
		t.Errorf("got %+v, %v", l, problems)
	}
}
