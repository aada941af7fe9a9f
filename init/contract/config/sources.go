package config

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
)

// ParseFile is Parse for a file; one that does not exist is an empty layer without a problem.
// Problems carry the path as given.
func ParseFile(fsys fs.FS, name string) (*Layer, []Problem) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Layer{Name: name}, nil
	}
	var data []byte
	if err == nil {
		defer f.Close()
		data, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	}
	if err != nil {
		return &Layer{Name: name}, []Problem{{File: name, Severity: Error, Message: "the file cannot be read: " + err.Error(), Fatal: true}}
	}
	return Parse(name, data)
}

// ParseDir is ParseFile for every file of a directory such as config.d, sorted by name, whatever
// its extension, as in k3OS. Files that desktops and editors leave behind (._x, .x, x~) are
// skipped, directories with a warning; a directory that does not exist is empty. One file that
// cannot be read does not cost the others.
func ParseDir(fsys fs.FS, dir string) ([]*Layer, []Problem) {
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var layers []*Layer
	var problems []Problem
	if err != nil {
		problems = append(problems, Problem{File: dir, Severity: Error, Message: "the directory cannot be read: " + err.Error()})
	}
	for _, e := range entries { // fs.ReadDir sorts by name
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), strings.HasSuffix(e.Name(), "~"):
		case e.IsDir():
			problems = append(problems, Problem{File: name, Severity: Warning, Message: "a directory in here is ignored", Fix: "move its files up"})
		default:
			l, p := ParseFile(fsys, name)
			layers, problems = append(layers, l), append(problems, p...)
		}
	}
	return layers, problems
}
