package main

import (
	"fmt"

	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	nodearchive "imgbuild/init/contract/archive"
	"imgbuild/init/contract/fault"
)

// openNode opens what import= or restore= name; nil without them. config is the user's own, which counts more than the archive's.
func openNode(a *line.Args, r *recipe.Recipe, config []byte, out string) (node *image.Node, warnings []string, err error) {
	moves, comes := a.Values["import"], a.Values["restore"]
	switch {
	case moves != "" && comes != "":
		return nil, nil, fault.New(fault.Usage, "a backup restores a server whole", "import= and restore= do not go together")
	case moves != "":
		node, err = image.OpenNode(moves, nodearchive.Migrate, r, out)
	case comes != "":
		node, err = image.OpenNode(comes, nodearchive.Backup, r, out)
	}
	if node == nil || err != nil {
		return nil, nil, err
	}
	name := node.Hostname
	if name == "" {
		name = "a node"
	}
	warnings = append(warnings, fmt.Sprintf("the image holds %s whole, keys and tokens included: only you may read it, and it is best removed once it is on the card; never let two nodes run from it", name))
	if node.Disk {
		warnings = append(warnings, "its k3s had its data on a disk of their own (data.device): if that disk is attached, k3s goes on with what is on it; an empty one gets the backup's data; without one k3s waits, unless config= names no data.device")
	}
	if config != nil {
		warnings = append(warnings, node.Replace(config)...)
	}
	return node, warnings, nil
}
