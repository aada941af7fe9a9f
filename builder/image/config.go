package image

import (
	"fmt"
	"path/filepath"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/recipe"
	"imgbuild/images"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// CheckConfig reads a cloud-config as the node will and gives its warnings. What would cost the node a setting is an
// error of kind Input that lists every problem; so is a key that does not exist, unless lenient. data nil stands for an
// image without configuration.
func CheckConfig(name string, data []byte, r *recipe.Recipe, lenient bool) (warnings []string, err error) {
	problems, err := Validate(name, data, r)
	if err != nil {
		return nil, err
	}
	if !lenient {
		problems = config.Strict(problems)
	}
	var bad []string
	for _, p := range problems {
		if p.Severity == config.Error {
			bad = append(bad, p.String())
			continue
		}
		warnings = append(warnings, p.String())
	}
	if bad != nil {
		return nil, fault.New(fault.Input, "correct it; `imgbuild validate FILE` shows the same list", "%s cannot be used:\n  %s", name, strings.Join(bad, "\n  "))
	}
	return warnings, nil
}

// Validate gives everything that the node's own code says about a configuration on this board and in this role. r may
// be nil: then only what holds anywhere is checked.
func Validate(name string, data []byte, r *recipe.Recipe) ([]config.Problem, error) {
	if r == nil {
		return validate(name, data, config.Facts{})
	}
	// Memory is left to the node: the same board is sold with more and with less of it.
	return validate(name, data, config.Facts{Role: r.Role.Name, Roles: r.Roles, Board: r.Board.Name, Lacks: r.Board.Lacks})
}

// ValidateFor is Validate by the names of a board and a role, of which the one or the other may be empty for not known.
func ValidateFor(name string, data []byte, board, role string) ([]config.Problem, error) {
	f := config.Facts{Role: role}
	switch {
	case board != "" && role != "":
		r, err := recipe.New(board, role)
		if err != nil {
			return nil, err
		}
		return Validate(name, data, r)
	case board != "":
		b, _, err := boards.Get(board)
		if err != nil {
			return nil, err
		}
		if b == nil {
			_, err := recipe.New(board, images.Names()[0])
			return nil, err
		}
		f.Board, f.Lacks, f.Roles = board, b.Lacks, b.Roles
	case role != "":
		known, _, err := images.Get(role)
		if err != nil {
			return nil, err
		}
		if known == nil {
			_, err := recipe.New(boards.Names()[0], role)
			return nil, err
		}
	}
	return validate(name, data, f)
}

func validate(name string, data []byte, facts config.Facts) ([]config.Problem, error) {
	// Warnings stand in the image's .json, so they name the file without the place where somebody keeps it.
	if name != "" {
		name = filepath.Base(name)
	}
	layer, problems := config.Parse(name, data)
	layers := []*config.Layer{}
	var own []string
	for _, k := range [][2]string{{"board", facts.Board}, {"role", facts.Role}} {
		if k[1] != "" {
			own = append(own, k[0]+": "+k[1])
		}
	}
	if own != nil {
		image, more := config.Parse("the image", []byte("shelf: {"+strings.Join(own, ", ")+"}"))
		if len(more) > 0 {
			return nil, fmt.Errorf("our own settings: %s", more[0])
		}
		image.Unseen = true
		layers = append(layers, image)
	}
	c, more := config.Merge(append(layers, layer)...)
	problems = append(problems, more...)
	return append(problems, config.Check(c, facts)...), nil
}
