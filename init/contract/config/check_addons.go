package config

import (
	"errors"
	"net/url"
	"strings"

	"gopkg.in/yaml.v3"
)

// PackagedAddons are what k3s brings and --disable knows by name (k3s' documentation, packaged
// components).
var PackagedAddons = []string{"coredns", "servicelb", "traefik", "local-storage", "metrics-server"}

// ChartName returns the chart of an add-on; empty for one that k3s brings and for plain objects.
func (a Addon) ChartName(name string) string {
	if a.Chart == "" && a.Repo != "" {
		return name
	}
	return a.Chart
}

// checkAddons wants of every add-on what k3s' Helm controller needs of it.
func (k *checker) checkAddons() {
	for _, name := range sortedNames(k.c.Addons) {
		a, here := k.c.Addons[name], "addons."+name
		chart, packaged := a.ChartName(name), contains(PackagedAddons, name)
		if !serviceName.MatchString(name) {
			k.report(Error, here, "use small letters, digits and -, 32 at most", "%s is not the name of an add-on", quote(name))
		}
		switch {
		case !a.Enabled:
		case packaged && chart != "":
			k.report(Error, here, "choose another name, and disable this one if it is in the way", "k3s brings %s itself, another chart of that name would fight with it", name)
		case chart != "" && a.Version == "":
			k.report(Error, here, "set version to the chart's exact version", "the add-on has no version, it is not installed")
		case chart == "" && a.Version != "":
			k.report(Warning, here+".version", "remove it, or set repo", "the version is not used: this add-on has no chart")
		case chart == "" && !packaged && a.Values != nil:
			k.report(Error, here, "set repo", "there are values, but no chart to give them to")
		case packaged && a.Values != nil && name != "traefik":
			k.report(Error, here+".values", "use objects, such as the ConfigMap coredns-custom", "of what k3s brings only traefik is a chart and takes values")
		case chart == "" && a.Values == nil && a.Objects == "" && !packaged:
			k.report(Error, here, "set repo and version, or objects", "the add-on has neither a chart nor objects")
		}
		if a.Repo != "" && !address(a.Repo, "https", "http") {
			k.report(Error, here+".repo", "write it like https://charts.jetstack.io", "%s is not the address of a Helm repository", quote(a.Repo))
		}
		if strings.Contains(a.Chart, "://") && !address(a.Chart, "https", "http", "oci") {
			k.report(Error, here+".chart", "write a name, or an https:// or oci:// address", "%s is not the address of a chart", quote(a.Chart))
		} else if a.Repo == "" && a.Chart != "" && !strings.Contains(a.Chart, "://") {
			k.report(Error, here, "set repo", "no source is given for the chart %s", quote(a.Chart))
		}
		if a.Namespace != "" && !labelName.MatchString(a.Namespace) {
			k.report(Error, here+".namespace", "use small letters, digits and -", "%s is not a namespace", quote(a.Namespace))
		}
		if _, err := a.Documents(); err != nil {
			k.report(Error, here+".objects", "write Kubernetes objects as YAML documents", "%v", err)
		}
	}
}

func address(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && contains(schemes, u.Scheme)
}

// maxObjects bounds the documents of one add-on; a real one has a dozen.
const maxObjects = 1000

// Documents returns the objects, each with its apiVersion, kind and name looked for. Errors hold no
// text of the documents, which may be Secrets.
func (a Addon) Documents() ([]*yaml.Node, error) {
	docs, err := readYAML([]byte(a.Objects), maxObjects)
	if err != nil {
		return nil, errors.New(anchorName.compiled().ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "unknown anchor referenced"))
	}
	var out []*yaml.Node
	for _, n := range docs {
		if len(n.Content) == 0 || isNull(n.Content[0]) {
			continue
		}
		if !isObject(n) {
			return nil, errors.New("an object has no apiVersion, kind or name")
		}
		out = append(out, n)
	}
	return out, nil
}

// isObject reports whether a document is a Kubernetes object. The library panics on some input.
func isObject(n *yaml.Node) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	var o struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name string }
	}
	return n.Decode(&o) == nil && o.APIVersion != "" && o.Kind != "" && o.Metadata.Name != ""
}
