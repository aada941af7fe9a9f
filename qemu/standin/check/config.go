package check

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

func config(h *Host, args []string) error {
	values := h.Config[args[0]]
	if len(values) == 0 {
		return fmt.Errorf("k3s' configuration has no %s", args[0])
	}
	for _, v := range values {
		if !regexp.MustCompile(args[1]).MatchString(v) {
			return fmt.Errorf("%s is %q in k3s' configuration, it must match %s", args[0], v, args[1])
		}
	}
	return nil
}

func knownKeys(h *Host, _ []string) error {
	for _, key := range slices.Sorted(maps.Keys(h.Config)) {
		if !slices.Contains(flags, key) {
			return fmt.Errorf("flag provided but not defined: -%s", key)
		}
	}
	return nil
}

func secret(h *Host, args []string) error {
	for _, name := range h.Config[args[0]] {
		if err := mode(h, []string{name, "0600"}); err != nil {
			return err
		}
		data, err := os.ReadFile(h.path(name))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(data)) == "" {
			return fmt.Errorf("%s is empty", name)
		}
	}
	return nil
}

// flags of `k3s server --help` and `k3s agent --help`, as far as a small cluster's nodes use them (docs.k3s.io/cli).
var flags = strings.Fields(`
	advertise-address advertise-port agent-token agent-token-file airgap-extra-registry alsologtostderr bind-address cluster-cidr
	cluster-dns cluster-domain cluster-init cluster-reset cluster-reset-restore-path config container-runtime-endpoint data-dir
	datastore-cafile datastore-certfile datastore-endpoint datastore-keyfile debug default-local-storage-path default-runtime disable
	disable-agent disable-apiserver disable-apiserver-lb disable-cloud-controller disable-controller-manager
	disable-default-registry-endpoint disable-etcd disable-helm-controller disable-kube-proxy disable-network-policy disable-scheduler
	docker egress-selector-mode embedded-registry enable-pprof etcd-arg etcd-disable-snapshots etcd-expose-metrics etcd-s3
	etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-retention etcd-snapshot-schedule-cron flannel-backend flannel-cni-conf
	flannel-conf flannel-external-ip flannel-iface flannel-ipv6-masq helm-job-image https-listen-port image-credential-provider-bin-dir
	image-credential-provider-config image-service-endpoint kine-tls kube-apiserver-arg kube-cloud-controller-manager-arg
	kube-controller-manager-arg kube-proxy-arg kube-scheduler-arg kubelet-arg lb-server-port log log-file multi-cluster-cidr
	node-external-dns node-external-ip node-id node-internal-dns node-ip node-label node-name node-taint nonroot-devices pause-image
	prefer-bundled-bin private-registry protect-kernel-defaults resolv-conf rootless secrets-encryption secrets-encryption-provider
	selinux server service-cidr service-node-port-range servicelb-namespace snapshotter supervisor-metrics system-default-registry
	tls-san tls-san-security token token-file v vmodule vpn-auth vpn-auth-file with-node-id write-kubeconfig write-kubeconfig-group
	write-kubeconfig-mode`)
