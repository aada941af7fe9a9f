package datafile

import (
	"errors"
	"io/fs"
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
