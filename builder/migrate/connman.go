package migrate

import (
	"slices"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/yamltext"
)

// without takes the wireless networks out that the node's configuration names itself.
func without(n *config.Connman, known []config.WiFi) {
	n.WiFi = slices.DeleteFunc(n.WiFi, func(w config.WiFi) bool {
		return slices.ContainsFunc(known, func(k config.WiFi) bool { return k.Name == w.Name })
	})
}

// yaml returns the equivalent cloud-config; nil when it is empty.
func connmanYAML(n *config.Connman) ([]byte, error) {
	if len(n.Interfaces) == 0 && len(n.WiFi) == 0 {
		return nil, nil
	}
	text, err := yamltext.Marshal(map[string]config.Network{"network": n.Network})
	return append([]byte("# What connman had on the card this node was migrated from.\n"), text...), err
}
