// Package datafile reads the files of data that the program carries: boards, images and overlays.
package datafile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decode reads the one YAML document of a file into a struct. A key without a field in the struct
// is an error: a mistake in a file of data must not be ignored. dir is the directory of the files
// in the source, for the message.
func Decode(fsys fs.FS, dir, name string, into any) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s/%s: %w", dir, name, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s/%s: more than one document", dir, name)
	}
	return nil
}

// All reads every NAME.yaml of a directory, "." for the top, into a value of its own, and returns
// them by NAME, except for those that except names. named puts the name into the value.
func All[T any](fsys fs.FS, source, dir string, named func(*T, string), except ...string) (map[string]*T, error) {
	files, err := fs.Glob(fsys, path.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	all := map[string]*T{}
	for _, file := range files {
		v, name := new(T), strings.TrimSuffix(path.Base(file), ".yaml")
		if slices.Contains(except, name) {
			continue
		}
		named(v, name)
		if err := Decode(fsys, source, file, v); err != nil {
			return nil, err
		}
		all[name] = v
	}
	return all, nil
}
