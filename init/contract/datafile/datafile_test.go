package datafile

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestDecode(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{"good.yaml": "title: a\n", "slip.yaml": "titel: a\n", "two.yaml": "title: a\n---\ntitle: b\n", "twice.yaml": "title: a\ntitle: b\n", "none.yaml": ""} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, want := range map[string]string{"good.yaml": "", "slip.yaml": "field titel not found", "two.yaml": "more than one document", "twice.yaml": "already defined", "none.yaml": "EOF"} {
		var into struct{ Title string }
		err := Decode(files, "room", name, &into)
		if want == "" && (err != nil || into.Title != "a") || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "room/"+name) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := Decode(files, "room", "no.yaml", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestAll(t *testing.T) {
	type item struct {
		Name  string `yaml:"-"`
		Title string
	}
	files := fstest.MapFS{}
	for name, text := range map[string]string{"a.yaml": "title: x\n", "b.yaml": "title: y\n", "base.yaml": "other: z\n", "c.txt": "", "sub/d.yaml": "title: w\n", "bad/e.yaml": "titel: v\n"} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	named := func(i *item, name string) { i.Name = name }
	for dir, want := range map[string]string{".": "a=x b=y", "sub": "d=w", "none": ""} {
		all, err := All(files, "room", dir, named, "base")
		var got []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if all[name].Name != name {
				t.Errorf("%s: got the name %q, want %q", dir, all[name].Name, name)
			}
			got = append(got, name+"="+all[name].Title)
		}
		if text := strings.Join(got, " "); err != nil || text != want {
			t.Errorf("%s: got %q %v, want %q", dir, text, err, want)
		}
	}
	if _, err := All(files, "room", "bad", named); err == nil || !strings.HasPrefix(err.Error(), "room/bad/e.yaml: ") {
		t.Errorf("a mistake: got %v, want an error that names room/bad/e.yaml", err)
	}
}
