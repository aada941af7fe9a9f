package image

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/boards"
	"imgbuild/builder/recipe"
	"imgbuild/images"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Source is a file of configuration.
type Source struct {
	Name string // for messages
	Data []byte
}

// CheckConfig reads cloud-config as the node will, the last source counting most, with those of the
// node that moves in behind the others, and returns its warnings. moved is nil for a new node. A
// problem that would cost the node a setting is an error of kind Input that lists every problem; so
// is a key that does not exist, unless lenient. Without a source it is the image without
// configuration that is looked at.
func CheckConfig(name string, r *recipe.Asked, lenient bool, moved *Node, sources ...Source) (warnings []string, err error) {
	f := facts(r)
	if moved != nil {
		f.Token = moved.Token
	}
	problems, err := validate(append(sources, moved.Sources()...), f)
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

// Validate returns all that the node's own code reports about a configuration on this board and
// in this role. r may be nil: then only what holds anywhere is checked.
func Validate(name string, data []byte, r *recipe.Asked) ([]config.Problem, error) {
	return validateFile(name, data, facts(r))
}

// facts are what is known before a node boots. Memory is left to the node: the same board is sold
// with more and with less of it.
func facts(r *recipe.Asked) config.Facts {
	if r == nil {
		return config.Facts{}
	}
	return config.Facts{Role: r.Role.Name, Roles: r.Roles, Board: r.Board.Name, Lacks: r.Board.Lacks, Least: int64(r.Board.MemoryMB) << 20}
}

// ValidateFor is Validate by the names of a board and a role, of which the one or the other may be
// empty for not known. The problems are in the order of the file, what is missing from it comes
// last, and they name the file as it was given, so that an editor can open it.
func ValidateFor(name string, data []byte, board, role string) ([]config.Problem, error) {
	f := config.Facts{Role: role}
	switch {
	case board != "" && role != "":
		r, err := recipe.New(board, role, recipe.Choice{})
		if err != nil {
			return nil, err
		}
		f = facts(r)
	case board != "":
		b, _, err := boards.Get(board)
		if err != nil {
			return nil, err
		}
		if b == nil {
			_, err := recipe.New(board, images.Names()[0], recipe.Choice{})
			return nil, err
		}
		f.Board, f.Lacks, f.Roles, f.Least = board, b.Lacks, b.Roles, int64(b.MemoryMB)<<20
	case role != "":
		known, _, err := images.Get(role)
		if err != nil {
			return nil, err
		}
		if known == nil {
			_, err := recipe.New(boards.Names()[0], role, recipe.Choice{})
			return nil, err
		}
	}
	problems, err := validateFile(name, data, f)
	for i := range problems {
		if problems[i].File != "" && problems[i].File == filepath.Base(name) {
			problems[i].File = name
		}
	}
	slices.SortStableFunc(problems, func(a, b config.Problem) int { return cmp.Compare(uint(a.Line-1), uint(b.Line-1)) })
	return problems, err
}

// validateFile is validate for a file of the user's, which must hold something.
func validateFile(name string, data []byte, f config.Facts) ([]config.Problem, error) {
	problems, err := validate([]Source{{name, data}}, f)
	return append(config.Empty(filepath.Base(name), data), problems...), err
}

func validate(sources []Source, facts config.Facts) ([]config.Problem, error) {
	var layers, given []*config.Layer
	var problems []config.Problem
	for _, s := range sources {
		// Warnings are in the image's .json, so they name the file without the place where
		// somebody keeps it.
		if s.Name != "" {
			s.Name = filepath.Base(s.Name)
		}
		l, found := config.Parse(s.Name, s.Data)
		given = append(given, l)
		problems = append(problems, found...)
	}
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
	c, more := config.Merge(append(layers, given...)...)
	problems = append(problems, more...)
	return append(problems, config.Check(c, facts)...), nil
}
