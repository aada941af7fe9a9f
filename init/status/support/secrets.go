package support

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/mask"
	"imgbuild/init/contract/yamltext"
	"imgbuild/init/settings/sources"

	"gopkg.in/yaml.v3"
)

// tokenFiles hold secrets that are in no configuration.
var tokenFiles = []string{"/var/lib/rancher/k3s/server/*token", "/var/lib/rancher/k3s/server/cred/*passwd", "/etc/rancher/node/password", "/var/lib/rancher/k3os/node/password"}

// shortestSecret: shorter words of those files are names, such as k3s-agent and node:.
const shortestSecret = 8

// Secrets gathers every secret of this node that could be in a log.
func (n *Node) Secrets() []string {
	var list []string
	for _, dir := range []string{sources.Store, sources.Store + "/config.d", sources.Local, sources.Local + "/config.d", sources.Boot, sources.Boot + "/config.d"} {
		dir = filepath.Join(n.Root, dir)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); e.Type().IsRegular() && !strings.HasPrefix(e.Name(), ".") && small(path) {
				data, _ := os.ReadFile(path)
				list = append(list, Values(e.Name(), data)...)
			}
		}
	}
	c, _ := sources.Merge(n.Root) // of a stick, a URL and whatever else there is
	list = append(list, InConfig(c)...)
	for _, pattern := range tokenFiles {
		paths, _ := filepath.Glob(filepath.Join(n.Root, pattern))
		for _, path := range paths {
			data, _ := os.ReadFile(path)
			for word := range strings.FieldsFuncSeq(string(data), func(r rune) bool { return r == '\n' || r == ',' || r == ' ' || r == ':' }) {
				if len(word) >= shortestSecret {
					list = append(list, word)
				}
			}
			list = append(list, strings.TrimSpace(string(data)))
		}
	}
	return list
}

// small reports whether a file may be a configuration: BOOT holds kernels as well.
func small(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Size() <= 1<<20 && !strings.HasSuffix(path, ".bin") && !strings.HasSuffix(path, ".dtb") && !strings.HasSuffix(path, ".elf") && !strings.HasSuffix(path, ".dat")
}

// WriteConfig writes the merged configuration as YAML or JSON to w, secrets masked unless open, and
// what is wrong with it to problems.
func (n *Node) WriteConfig(w io.Writer, open, asJSON bool, problems io.Writer) error {
	c, found := sources.Merge(n.Root)
	for _, p := range found {
		if asJSON {
			fmt.Fprintln(problems, p)
		} else {
			fmt.Fprintln(problems, "#", p)
		}
	}
	var doc *yaml.Node
	var err error
	if open {
		doc, err = yamltext.Node(c)
	} else {
		doc, err = Masked(c)
	}
	if err != nil {
		return err
	}
	OfRole(doc, c.Shelf.Role)
	var out []byte
	if asJSON {
		var v any
		if err := doc.Decode(&v); err != nil {
			return err
		}
		if out, err = json.MarshalIndent(v, "", "\t"); err == nil {
			out = append(out, '\n')
		}
	} else {
		out, err = yamltext.Marshal(doc)
	}
	if err != nil {
		return err
	}
	if !open { // a secret may be in a command as well
		out = mask.New(n.Secrets()).Known(out)
	}
	_, err = w.Write(out)
	return err
}
