package image

import (
	"fmt"
	"path/filepath"
	"strings"

	"imgbuild/builder/recipe"
	"imgbuild/init/config"
	"imgbuild/init/fault"
)

// CheckConfig reads a cloud-config as the node will and gives its warnings. What would cost the node a setting is an
// error of kind Input that lists every problem. data nil stands for an image without configuration.
func CheckConfig(name string, data []byte, r *recipe.Recipe) (warnings []string, err error) {
	problems, err := Validate(name, data, r)
	if err != nil {
		return nil, err
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
	// Warnings stand in the image's .json, so they name the file without the place where somebody keeps it.
	if name != "" {
		name = filepath.Base(name)
	}
	layer, problems := config.Parse(name, data)
	layers := []*config.Layer{}
	facts := config.Facts{}
	if r != nil {
		own, more := config.Parse("the image", []byte(fmt.Sprintf("shelf: {board: %s, role: %s}", r.Board.Name, r.Role.Name)))
		if len(more) > 0 {
			return nil, fmt.Errorf("our own settings: %s", more[0])
		}
		own.Unseen = true
		layers = append(layers, own)
		// Memory is left to the node: the same board is sold with more and with less of it.
		facts = config.Facts{Role: r.Role.Name, Roles: r.Roles, Board: r.Board.Name, Lacks: r.Board.Lacks}
	}
	c, more := config.Merge(append(layers, layer)...)
	problems = append(problems, more...)
	return append(problems, config.Check(c, facts)...), nil
}
