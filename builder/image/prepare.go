package image

import (
	"imgbuild/builder/recipe"
	"imgbuild/overlays"
)

// Prepare fills in what of a recipe this program carries itself: the init for its architecture and
// the overlays.
func Prepare(r *recipe.Recipe) error {
	_, sum, err := Program(r.Family.Arch)
	if err != nil {
		return err
	}
	r.Program = sum
	r.Data, err = overlays.Sum()
	return err
}
