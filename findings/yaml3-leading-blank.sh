#!/usr/bin/env bash
# gopkg.in/yaml.v3 v3.0.1.
#
# A text of several lines is written as a block. One that begins with a line break loses it on the way through Marshal and Unmarshal,
# without an error: the block has no empty first line. One that begins with a tab is written as a block that Unmarshal refuses, and
# Node.Encode, which writes and reads in one step, refuses such a value too. A folded text (>) that goes through a Node gains a line
# break where a line begins with a tab. go.yaml.in/yaml/v3 v3.0.5 keeps the line break and still writes the tab.
#
# What follows: give such a text a node with DoubleQuotedStyle, and never a folded one.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'MOD'
module finding
go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"log"

	"gopkg.in/yaml.v3"
)

func main() {
	for _, text := range []string{"\none\ntwo", "\n", "one\ntwo", "\tone\ntwo"} {
		data, err := yaml.Marshal(map[string]string{"k": text})
		if err != nil {
			log.Fatal(err)
		}
		var back map[string]string
		err = yaml.Unmarshal(data, &back)
		fmt.Printf("%q is written as %q and read as %q, error %v\n", text, data, back["k"], err)
	}
	var n yaml.Node
	fmt.Println("Node.Encode:", n.Encode(map[string]string{"k": "\tone\ntwo"}))
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte("k: >-\n  x\n\n  \ty\n"), &doc); err != nil {
		log.Fatal(err)
	}
	before := doc.Content[0].Content[1].Value
	data, err := yaml.Marshal(&doc)
	if err != nil {
		log.Fatal(err)
	}
	var back map[string]string
	if err := yaml.Unmarshal(data, &back); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("folded: %q becomes %q\n", before, back["k"])
}
GO
go get gopkg.in/yaml.v3@v3.0.1 2>/dev/null
got=$(go run .)
want='"\none\ntwo" is written as "k: |4-\n    one\n    two\n" and read as "one\ntwo", error <nil>
"\n" is written as "k: |4+\n" and read as "", error <nil>
"one\ntwo" is written as "k: |-\n    one\n    two\n" and read as "one\ntwo", error <nil>
"\tone\ntwo" is written as "k: |-\n    \tone\n    two\n" and read as "", error yaml: line 2: found a tab character where an indentation space is expected
Node.Encode: yaml: line 2: found a tab character where an indentation space is expected
folded: "x\n\n\ty" becomes "x\n\n\n\ty"'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
