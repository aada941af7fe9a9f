package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"sort"
	"strings"
	"sync"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/k3sstep"

	"gopkg.in/yaml.v3"
)

// MissingForWorker is the sentence that the build, the check and the node print for a worker that
// cannot join yet.
const MissingForWorker = "this worker does not start k3s before it knows its server; missing: %s"

// missingForServer is the same for a server that joins another one.
const missingForServer = "this server does not join another one without its token; missing: %s"

// serverOnly are flags that `k3s agent` does not know: it would not start with them (k3s'
// documentation, CLI server).
var serverOnly = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for _, f := range strings.Fields(`advertise-address advertise-port agent-token agent-token-file cluster-cidr cluster-dns
		cluster-domain cluster-init cluster-reset cluster-reset-restore-path datastore-cafile datastore-certfile
		datastore-endpoint datastore-keyfile default-local-storage-path disable disable-agent disable-apiserver
		disable-cloud-controller disable-controller-manager disable-etcd disable-helm-controller disable-kube-proxy
		disable-network-policy disable-scheduler no-deploy egress-selector-mode embedded-registry etcd-arg etcd-disable-snapshots
		etcd-expose-metrics etcd-s3 etcd-snapshot-compress etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-retention
		etcd-snapshot-schedule-cron flannel-backend flannel-external-ip flannel-ipv6-masq helm-job-image
		https-listen-port kine-tls kube-apiserver-arg kube-cloud-controller-manager-arg kube-controller-manager-arg
		kube-scheduler-arg multi-cluster-cidr secrets-encryption service-cidr service-node-port-range servicelb-namespace
		supervisor-metrics system-default-registry tls-san tls-san-security write-kubeconfig write-kubeconfig-group
		write-kubeconfig-mode`) {
		out[f] = true
	}
	return out
})

// K3sArguments returns k3s_args without the role in front, which is the node's, and with
// --no-deploy as k3s calls it today: k3OS's own documentation had it, and k3s would not start with
// it.
func (c *Config) K3sArguments() []string {
	a := c.K3OS.K3sArgs
	if len(a) > 0 && (a[0] == "server" || a[0] == "agent") {
		a = a[1:]
	}
	out := append([]string(nil), a...)
	for i, word := range out {
		if rest, ok := strings.CutPrefix(word, noDeploy); ok && (rest == "" || rest[0] == '=') {
			out[i] = "--disable" + rest
		}
	}
	return out
}

// noDeploy is the name that --disable had up to k3s 1.24.
const noDeploy = "--no-deploy"

// gone are arguments of old versions that k3s knows no more and would not start with, and what
// takes their place (k3s' release notes of 1.25 to 1.27).
var gone = [][2]string{
	{"--flannel-backend=ipsec", "--flannel-backend=wireguard-native"},
	{"--flannel-backend=wireguard", "--flannel-backend=wireguard-native"},
	{"--cluster-secret", "k3os.token"},
}

func (k *checker) checkK3s() {
	if !contains(k3sRoles, k.role) {
		return
	}
	k.checkArgs()
	k.checkK3sFiles()
	c := k.c.K3OS
	if missing := k.c.Missing(k.role); len(missing) > 0 {
		k.report(Warning, missing[0], "put it into config.yaml, now or later",
			map[string]string{"worker": MissingForWorker, "server": missingForServer}[k.role], strings.Join(missing, " and "))
	}
	if k.role == "server" && c.ServerURL != "" && k.c.givenElsewhere("--cluster-init", "", "K3S_CLUSTER_INIT") {
		k.report(Warning, "k3os.server_url", "keep --cluster-init on the first server only", "a server that joins another one does not start a cluster; one of the two belongs on another node")
	}
	if c.ServerURL != "" {
		if s, fix, why := serverURL(c.ServerURL); why != "" {
			k.report(s, "k3os.server_url", fix, "%s", why)
		}
	}
	if c.Token != "" {
		if s, fix, why := token(c.Token); why != "" {
			k.report(s, "k3os.token", fix, "%s", why)
		}
		if k.role == "server" {
			var other *fault.Error
			if errors.As(k3sstep.Token(c.Token, k.f.Token), &other) {
				k.report(Error, "k3os.token", other.Fix, "%s", other.What)
			}
		}
	}
	if c.Environment["K3S_CLUSTER_SECRET"] != "" {
		k.report(Warning, "k3os.environment.K3S_CLUSTER_SECRET", "use k3os.token", "k3s reads K3S_CLUSTER_SECRET no more")
	}
	for _, name := range sortedNames(c.Labels) {
		if err := ValidLabel(name, c.Labels[name]); err != nil {
			k.report(Error, "k3os.labels."+name, "correct it", "%v; it is left out, for the kubelet would not start with it", err)
		} else if name == "k3os.io/mode" {
			k.report(Warning, "k3os.labels."+name, "remove it", "jobs of k3OS's old upgrade controller look for this label")
		}
	}
	for i, t := range c.Taints {
		if err := ValidTaint(t); err != nil {
			k.report(Error, index("k3os.taints", i), "write key=value:NoSchedule", "%v; it is left out", err)
		}
	}
}

func (k *checker) checkArgs() {
	args := k.c.K3OS.K3sArgs
	verb := map[string]string{"server": "server", "worker": "agent"}[k.role]
	for i, a := range args {
		path := index("k3os.k3s_args", i)
		if flag, value, has := strings.Cut(a, "="); flag == "--node-label" || flag == "--node-taint" || flag == "--kubelet-arg" {
			if !has && i+1 < len(args) {
				value = args[i+1]
			}
			k.checkNodeValue(path, flag, value)
		}
		flag, _, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case i == 0 && (a == "server" || a == "agent"):
			if a != verb {
				k.report(Error, path, fmt.Sprintf("write %s, or set shelf.role: %s", verb, map[string]string{"server": "server", "agent": "worker"}[a]),
					"%s contradicts the role of this node, %s", a, k.role)
				return // what follows is meant for the other one
			}
		case i == 0 && !strings.HasPrefix(a, "-"):
			k.report(Error, path, "begin with a flag, or with "+verb, "this is neither a flag of k3s nor a role")
		case !strings.HasPrefix(a, "-"):
		case k.role == "server" && "--"+flag == noDeploy:
			k.report(Warning, path, "write --disable", "k3s calls this --disable today; it is read as that")
		case k.checkGone(path, a, args[i+1:]):
		case strings.Contains(flag, " "):
			k.report(Error, path, "write it as --flag=value, or as two items", "k3s gets this as one word with a space in it, and would not start")
		case k.role == "worker" && serverOnly()[flag]:
			k.report(Error, path, "remove it here; it belongs to the server", "k3s agent has no flag --%s and would not start", flag)
		case flag == "token" || flag == "t" || flag == "agent-token" || flag == "datastore-endpoint":
			secret := hasValue || i+1 < len(args)
			if secret {
				k.report(Warning, path, "use k3os.token for the token, which is moved off the boot partition", "a secret here stays readable on the boot partition and in the process list")
			}
		}
	}
}

// checkNodeValue checks labels and taints in k3s' own arguments like those of the sections. Several
// of them may be in one value, with commas between them, and k3s passes on what is for the kubelet.
func (k *checker) checkNodeValue(path, flag, value string) {
	flag = strings.TrimLeft(flag, "-+")
	if flag == "kubelet-arg" {
		flag, value, _ = strings.Cut(strings.TrimLeft(value, "-"), "=")
	}
	for one := range strings.SplitSeq(value, ",") {
		var err error
		switch flag {
		case "node-label", "node-labels":
			name, v, _ := strings.Cut(one, "=")
			err = ValidLabel(name, v)
		case "node-taint", "register-with-taints":
			err = ValidTaint(one)
		}
		if err != nil {
			k.report(Error, path, "correct it", "%v; the kubelet would not start with it", err)
		}
	}
}

// checkK3sFiles checks the same in files that write_files puts where k3s reads its configuration.
func (k *checker) checkK3sFiles() {
	for i, f := range k.c.WriteFiles {
		clean := path.Clean("/" + f.Path)
		data, err := f.Data()
		if err != nil || clean != "/etc/rancher/k3s/config.yaml" && !strings.HasPrefix(clean, "/etc/rancher/k3s/config.yaml.d/") {
			continue
		}
		docs, err := readYAML(data, 1)
		if err != nil || len(docs) != 1 || len(docs[0].Content) != 1 || docs[0].Content[0].Kind != yaml.MappingNode {
			k.report(Error, index("write_files", i)+".content", "write a map of k3s' flags without --", "this is not a configuration of k3s, which would not start with it")
			continue
		}
		for c := docs[0].Content[0].Content; len(c) > 1; c = c[2:] {
			for _, v := range list1(c[1]) {
				k.checkNodeValue(index("write_files", i)+".content", strings.TrimSuffix(c[0].Value, "+"), v.Value)
			}
		}
	}
}

// checkGone reports an argument that k3s knows no more; its value may be the next one.
func (k *checker) checkGone(path, a string, next []string) bool {
	for _, g := range gone {
		name, value, _ := strings.Cut(g[0], "=")
		if a == g[0] || value == "" && strings.HasPrefix(a, name+"=") || a == name && len(next) > 0 && next[0] == value {
			k.report(Error, path, "use "+g[1], "k3s knows %s no more and would not start", g[0])
			return true
		}
	}
	return false
}

func serverURL(t string) (s Severity, fix, why string) {
	const form = "write it like https://shelf-1:6443"
	u, err := url.Parse(t)
	switch {
	case err != nil:
		return Error, form, "this is not a URL"
	case u.Scheme != "https":
		return Error, form, "k3s takes https:// URLs only"
	case u.Hostname() == "":
		return Error, form, "the URL names no host"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return Warning, form, "only the host and the port belong into it"
	case u.Port() == "":
		return Warning, form, "without a port this means 443; k3s listens on 6443"
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() || u.Hostname() == "localhost" {
		return Warning, form, "this is the node itself"
	}
	return Note, "", ""
}

// secureToken is k3s' long form: K10, the hash of the cluster's CA, credentials.
var secureToken = pattern{text: `^K10[0-9a-f]{64}::(?:[^:\s]+:)?\S+$`}

func token(t string) (s Severity, fix, why string) {
	switch {
	case strings.TrimSpace(t) != t || strings.ContainsAny(t, " \t\r\n"):
		return Warning, "check that it was copied whole, on one line", "the token has white space in it"
	case strings.HasPrefix(t, "K10") && !secureToken.MatchString(t):
		return Warning, "copy /var/lib/rancher/k3s/server/token of the server whole", "the token begins like k3s' long form but is not of that form"
	case strings.HasPrefix(t, "${") || strings.HasPrefix(t, "<"):
		return Warning, "put the real token there", "the token looks like a place to fill in; nothing is expanded"
	case len(t) < 8:
		return Warning, "use a long random word", fmt.Sprintf("a token of %d characters is easily guessed", len(t))
	}
	return Note, "", ""
}

var (
	labelName   = pattern{text: `^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`}
	labelPrefix = pattern{text: `^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`}
)

// kubeletLabels are the labels in Kubernetes' own name space that a kubelet may give its node; it
// refuses to start with others (kubernetes, pkg/apis/core/v1/helper and kubelet options).
var kubeletLabels = []string{
	"kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os",
	"beta.kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type",
	"node.kubernetes.io/instance-type", "topology.kubernetes.io/region", "topology.kubernetes.io/zone",
	"failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
}

// ValidLabel reports why a kubelet would refuse a node label.
func ValidLabel(name, value string) error {
	if err := qualified(name); err != nil {
		return err
	}
	if value != "" && !labelName.MatchString(value) {
		return fmt.Errorf("%s is not the value of a label: letters, digits, - _ . inside, 63 at most", quote(value))
	}
	prefix, _, _ := strings.Cut(name, "/")
	inside := func(domain string) bool { return prefix == domain || strings.HasSuffix(prefix, "."+domain) }
	if strings.Contains(name, "/") && (inside("kubernetes.io") || inside("k8s.io")) && !contains(kubeletLabels, name) &&
		!inside("kubelet.kubernetes.io") && !inside("node.kubernetes.io") {
		return fmt.Errorf("a node may not give itself the label %s; set it with kubectl", name)
	}
	return nil
}

// UsableLabels are the labels that a kubelet starts with.
func (c *Config) UsableLabels() map[string]string {
	out := map[string]string{}
	for name, value := range c.K3OS.Labels {
		if ValidLabel(name, value) == nil {
			out[name] = value
		}
	}
	return out
}

// UsableTaints are the taints that a kubelet starts with.
func (c *Config) UsableTaints() (out []string) {
	for _, t := range c.K3OS.Taints {
		if ValidTaint(t) == nil {
			out = append(out, t)
		}
	}
	return out
}

// ValidTaint reports why text is not key=value:Effect or key:Effect.
func ValidTaint(text string) error {
	rest, effect, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(effect, ":") {
		return fmt.Errorf("%s is not a taint", quote(text))
	}
	effects := []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
	if !contains(effects, effect) {
		if near := NearestWord(effect, effects); near != "" {
			return fmt.Errorf("%s is not an effect of a taint, %s is", quote(effect), near)
		}
		return fmt.Errorf("%s is none of the effects %s", quote(effect), strings.Join(effects, ", "))
	}
	name, value, _ := strings.Cut(rest, "=")
	if err := qualified(name); err != nil {
		return err
	}
	if value != "" && !labelName.MatchString(value) {
		return fmt.Errorf("%s is not the value of a taint", quote(value))
	}
	return nil
}

func qualified(name string) error {
	base := name
	if prefix, rest, ok := strings.Cut(name, "/"); ok {
		base = rest
		if !labelPrefix.MatchString(prefix) {
			return fmt.Errorf("%s is not a domain name in front of /", quote(prefix))
		}
	}
	if !labelName.MatchString(base) {
		return fmt.Errorf("%s is not a name: letters, digits, - _ . inside, 63 at most", quote(name))
	}
	return nil
}

func sortedNames[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}
