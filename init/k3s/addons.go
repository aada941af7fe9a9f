package k3s

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/yamltext"
)

// addonPrefix marks the manifests that are ours among those that people put next to them.
const addonPrefix = "shelf-"

// kubeSystem is where k3s' Helm controller looks for charts, and where what k3s brings lives.
const kubeSystem = "kube-system"

// helmObject is a HelmChart or a HelmChartConfig (helm.cattle.io/v1; k3s' documentation, Helm).
type helmObject struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   map[string]string `yaml:"metadata"`
	Spec       helmSpec          `yaml:"spec"`
}

type helmSpec struct {
	Repo            string `yaml:"repo,omitempty"`
	Chart           string `yaml:"chart,omitempty"`
	Version         string `yaml:"version,omitempty"`
	TargetNamespace string `yaml:"targetNamespace,omitempty"`
	CreateNamespace bool   `yaml:"createNamespace,omitempty"`
	ValuesContent   string `yaml:"valuesContent,omitempty"`
}

// Addons returns the manifests of the section addons, by add-on, with paths relative to k3s'
// directory of manifests. One that cannot be made is left out, and the error has the reason; the
// others are good.
func Addons(cfg *config.Config) ([]File, error) {
	var files []File
	var errs []error
	for _, name := range slices.Sorted(keys(cfg.Addons)) {
		data, err := manifestOf(name, cfg.Addons[name])
		if err != nil {
			errs = append(errs, fault.Wrap(err, fault.Input, "correct addons."+name, "the add-on %s is not installed", name))
		} else if len(data) > 0 {
			files = append(files, File{addonPrefix + name + ".yaml", 0o600, data})
		}
	}
	return files, errors.Join(errs...)
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// manifestOf returns the YAML documents of one add-on; empty for one that is not enabled.
func manifestOf(name string, a config.Addon) ([]byte, error) {
	if !a.Enabled {
		return nil, nil
	}
	var docs []any
	chart := a.ChartName(name)
	values := ""
	if len(a.Values) > 0 {
		text, err := yamltext.Marshal(a.Values)
		if err != nil {
			return nil, err
		}
		values = string(text)
	}
	o := helmObject{APIVersion: "helm.cattle.io/v1", Metadata: map[string]string{"name": name, "namespace": kubeSystem}}
	switch {
	case chart != "" && a.Version == "":
		return nil, errors.New("it has no version")
	case chart != "":
		namespace := a.Namespace
		if namespace == "" {
			namespace = name
		}
		o.Kind = "HelmChart"
		o.Spec = helmSpec{a.Repo, chart, a.Version, namespace, namespace != kubeSystem, values}
		docs = append(docs, o)
	case values != "":
		o.Kind = "HelmChartConfig"
		o.Spec = helmSpec{ValuesContent: values}
		docs = append(docs, o)
	}
	objects, err := a.Documents()
	if err != nil {
		return nil, err
	}
	for _, n := range objects {
		docs = append(docs, n)
	}
	if len(docs) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by shelf from addons.%s of cloud-config.\n", name)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	for _, d := range docs {
		n, err := yamltext.Node(d)
		if err != nil {
			return nil, err
		}
		if err := e.Encode(n); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), e.Close()
}

// manifestDir is where a server looks for manifests.
func manifestDir(cfg *config.Config) string {
	return filepath.Join(dataDir(cfg), "server", "manifests")
}

// WriteAddons makes the manifests of a server as the section addons has them. It may be called
// while k3s runs, which sees what is new within seconds. Those of add-ons that were taken out stay:
// k3s uninstalls them at its next start, see disabled.
func WriteAddons(cfg *config.Config, role string) error {
	if role != Server {
		return nil
	}
	files, err := Addons(cfg)
	return errors.Join(err, writeFiles(manifestDir(cfg), files))
}

// disabled returns the components that k3s takes away: those it brings that are not enabled, and
// manifests of ours that are still there though their add-on is not, which --disable uninstalls and
// removes (k3s' documentation, disabling manifests).
func disabled(cfg *config.Config, dir string) []string {
	var list []string
	for _, name := range config.PackagedAddons {
		if a, ok := cfg.Addons[name]; ok && !a.Enabled {
			list = append(list, name)
		}
	}
	files, _ := Addons(cfg)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), ".yaml")
		if ours && strings.HasPrefix(name, addonPrefix) && !slices.ContainsFunc(files, func(f File) bool { return f.Path == e.Name() }) {
			if a, ok := cfg.Addons[strings.TrimPrefix(name, addonPrefix)]; ok && a.Enabled {
				continue // it is wanted, and has a mistake in it: what is installed stays
			}
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}
