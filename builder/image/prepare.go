package image

import (
	"imgbuild/builder/recipe"
	"imgbuild/overlays"
)

// Carried is what this program carries for the slots of a Debian architecture: the init, shelf
// and the overlays.
func Carried(arch string) (recipe.Carried, error) {
	p, err := ProgramsOf(arch)
	if err != nil {
		return recipe.Carried{}, err
	}
	data, err := overlays.Sum()
	return recipe.Carried{Init: hashOf(p.Init), Shelf: hashOf(p.Shelf), Data: data}, err
}
