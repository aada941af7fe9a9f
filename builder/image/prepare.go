package image

import (
	"imgbuild/builder/recipe"
	"imgbuild/overlays"
)

// Carried is what this program carries for the slots of a Debian architecture: the init and the
// overlays.
func Carried(arch string) (recipe.Carried, error) {
	_, program, err := Program(arch)
	if err != nil {
		return recipe.Carried{}, err
	}
	data, err := overlays.Sum()
	return recipe.Carried{Program: program, Data: data}, err
}
