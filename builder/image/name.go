package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
)

// unnamedNode is the part of the name of an image for the hostname that its configuration does not
// give.
const unnamedNode = "configured"

// name is what the files of the image are called: board, role, the node if it is for one, version.
// An image that is there already under this name is replaced only if it is the same node's, or
// nobody's; else the error is of kind Input.
func (b *build) name() (string, error) {
	parts := []string{b.Recipe.Board.Name, b.Recipe.Role.Name}
	host := b.Login
	if b.secret() {
		if host = b.hostname(); host == "" {
			host = unnamedNode
		}
	}
	if host != "" {
		parts = append(parts, host)
	}
	parts = append(parts, b.version)
	if b.Recipe.K3s.Source == recipe.FirstBoot {
		parts = append(parts, recipe.FirstBoot)
	}
	name := strings.Join(parts, "-")
	if host != unnamedNode && b.Login == "" {
		return name, nil
	}
	file := filepath.Join(b.Out, name+".img")
	old, err := configOf(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return name, nil
	case err == nil && b.Node == nil && bytes.Equal(old, config.WithSpace(b.Config)):
		return name, nil
	}
	if b.Login != "" {
		return "", fault.New(fault.Input, "give another directory as out=DIR, or remove the file", "%s lets another ssh key log in", file)
	}
	return "", fault.New(fault.Input, "set hostname: in the configuration, give another directory as out=DIR, or remove the file",
		"%s may be another node's: neither configuration has a hostname", file)
}

// hostname is the node's name, as a part of a file name; empty if nothing gives it one.
func (b *build) hostname() string {
	var layers []*config.Layer
	for _, s := range append([]Source{{"config.yaml", b.Config}}, b.Node.Sources()...) {
		l, _ := config.Parse(s.Name, s.Data)
		layers = append(layers, l)
	}
	c, _ := config.Merge(layers...)
	host := c.Hostname
	if host == "" && b.Node != nil {
		host = b.Node.Hostname
	}
	host = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '.':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, host)
	return host[:min(len(host), 63)]
}

// configOf reads BOOT's config.yaml of an image. Errors that are not fs.ErrNotExist mean that the
// file is not an image of ours.
func configOf(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := fatfile.ReadFile(io.NewSectionReader(f, bootStart, bootSize), "config.yaml")
	if err != nil {
		return nil, fmt.Errorf("%s: %v", file, err) // that the volume has no such file does not mean that the image is not there
	}
	return data, nil
}
