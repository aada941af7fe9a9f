package cluster

import (
	"encoding/json"
	"maps"

	"imgbuild/boards"
	"imgbuild/images"
	"imgbuild/init/contract/config"
)

type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of cluster.yaml, for editors. It is made of that
// of cloud-config, whose keys a node and the defaults may have.
func Schema() ([]byte, error) {
	var cloud object
	if err := json.Unmarshal(config.Schema(), &cloud); err != nil {
		return nil, err
	}
	keys := cloud["properties"].(object)
	part := func(doc string, without ...string) object {
		all := maps.Clone(keys)
		maps.Copy(all, nodeProperties())
		for _, name := range without {
			delete(all, name)
		}
		return object{"type": []string{"object", "null"}, "description": doc, "properties": all, "additionalProperties": false}
	}
	node := part("A node. Keys of cloud-config go under config, or next to it.")
	s := object{
		"$schema": cloud["$schema"], "title": "cluster.yaml of ShelfOS", "type": "object", "additionalProperties": false, "required": []string{"nodes"},
		"$defs": object{"config": object{"type": []string{"object", "null"}, "properties": keys, "additionalProperties": false}, "node": node},
		"properties": object{
			"defaults": part("What the nodes share. A node's own value counts more; lists of things with a name are merged by it.", forOne...),
			"nodes": object{"type": "object", "description": "The nodes by name.", "minProperties": 1, "propertyNames": object{"pattern": nodeName.String()},
				"additionalProperties": object{"$ref": "#/$defs/node"}},
		},
	}
	out, err := json.MarshalIndent(s, "", "  ")
	return append(out, '\n'), err
}

func nodeProperties() object {
	text := func(doc, example string) object {
		return object{"type": []string{"string", "null"}, "description": doc, "examples": []string{example}}
	}
	words := func(doc string, list []string) object {
		return object{"enum": list, "description": doc}
	}
	return object{
		"board":   words("The machine; `imgbuild boards` lists them.", boards.Names()),
		"role":    words("What it is for; `imgbuild roles` lists them.", images.Names()),
		"address": text("Its address with the prefix length. Without one it asks DHCP.", "192.168.1.11/24"),
		"gateway": text("The default gateway of a node with an address.", "192.168.1.1"),
		"dns":     object{"anyOf": []any{text("", "192.168.1.1"), object{"type": "array", "items": object{"type": "string"}}}, "description": "Name servers."},
		"mac":     text("Its hardware address: a router of the same file with mode nat gives it its address by DHCP too.", "dc:a6:32:01:02:03"),
		"config":  object{"anyOf": []any{object{"$ref": "#/$defs/config"}, object{"type": "string"}}, "description": "Its cloud-config, or the name of a file with it."},
	}
}
