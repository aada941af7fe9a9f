package k3s

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/supervise"
)

// Modules are loaded before k3s starts. Its own modprobe only warns when it fails, and some are
// never asked for: without nft_chain_nat pods stay without network while the node is Ready.
var Modules = strings.Fields(`overlay br_netfilter bridge veth vxlan nf_conntrack nf_tables nft_compat nft_chain_nat
	xt_comment xt_conntrack xt_MASQUERADE xt_mark xt_addrtype xt_statistic xt_multiport xt_nat xt_tcpudp`)

// sysctls that k3s and its pods need, where the user has not set them. k3s itself sets
// forwarding, bridge and conntrack; the kubelet sets its own. The inotify limits are for pods:
// every kubectl logs -f takes one.
var sysctls = map[string]string{
	"net.ipv4.ip_forward":                "1",
	"net.ipv6.conf.all.forwarding":       "1",
	"net.bridge.bridge-nf-call-iptables": "1",
	"kernel.keys.root_maxkeys":           "1000000",
	"kernel.keys.root_maxbytes":          "25000000",
	"fs.inotify.max_user_instances":      "8192",
	"fs.inotify.max_user_watches":        "524288",
}

// writeFiles writes generated files below root, whole or not at all, and removes those without
// content. One that is right already is left alone: it may be on a card.
func writeFiles(root string, files []File) error {
	for _, f := range files {
		path := filepath.Join(root, f.Path)
		if len(f.Data) == 0 {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Update(path, f.Data, fs.FileMode(f.Mode)); err != nil {
			return fmt.Errorf("writing %s: %w", f.Path, err)
		}
	}
	return nil
}

// linkTools makes kubectl, crictl, ctr and k3s in dir point to binary, which is all of them. Other
// files there stay.
func linkTools(dir, binary string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"k3s", "kubectl", "crictl", "ctr"} {
		path := filepath.Join(dir, name)
		old, err := os.Readlink(path)
		if err == nil && old == binary || err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && filepath.Base(old) != "k3s" {
			continue
		}
		if err := atomicfile.Symlink(binary, path); err != nil {
			return err
		}
	}
	return nil
}

// setSysctls writes below dir (/proc/sys) and returns those that could not be set.
func setSysctls(dir string, cfg *config.Config) []string {
	var failed []string
	users := map[string]bool{}
	for name := range cfg.K3OS.Sysctls {
		users[config.SysctlPath(name)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(sysctls)) {
		if users[config.SysctlPath(name)] {
			continue
		}
		path := filepath.Join(dir, strings.ReplaceAll(name, ".", "/"))
		if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == sysctls[name] {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(sysctls[name])
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			failed = append(failed, name)
		}
	}
	return failed
}

var machineID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{32}\n?$`) })

// checkHost returns what would make k3s or its pods fail in ways that are hard to read from their
// own messages.
func checkHost(root string) error {
	bad := func(fix, what string, args ...any) error {
		return fault.New(fault.Unhealthy, fix, what, args...)
	}
	id, _ := os.ReadFile(filepath.Join(root, "/etc/machine-id"))
	if !machineID().Match(id) {
		return bad("reboot; the init makes one", "/etc/machine-id is not 32 hex digits")
	}
	if _, err := os.Stat(filepath.Join(root, "/dev/kmsg")); err != nil {
		return bad("", "there is no /dev/kmsg, the kubelet needs it")
	}
	helper, err := os.ReadFile(filepath.Join(root, "/proc/sys/kernel/modprobe"))
	if name := strings.TrimSpace(string(helper)); err == nil {
		if _, err := os.Stat(filepath.Join(root, name)); name == "" || err != nil {
			return bad("", "the kernel's module loader %q does not exist, so packet filter parts cannot be loaded", name)
		}
	}
	return nil
}

// loadModules loads what pods need by load; the error names those that are not there.
func loadModules(load func(name string, params ...string) error, names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, load(name))
	}
	return fault.Wrap(errors.Join(errs...), fault.Unhealthy, "", "loading modules for k3s")
}

// natCheck adds a rule as kube-proxy and the CNI do, on a chain of its own that nothing jumps to,
// and removes both again, in one transaction: the kernel looks at all of it, and nothing is left
// behind, whenever the power fails. (iptables-restore(8))
const natCheck = `*nat
:SHELF-CHECK - [0:0]
-A SHELF-CHECK -m comment --comment "shelf check" -j MASQUERADE
-F SHELF-CHECK
-X SHELF-CHECK
COMMIT
`

// checkNAT tries the packet filter. A node whose kernel or iptables cannot do this is Ready all the
// same, and its pods have no network.
func checkNAT(ctx context.Context) error {
	c := supervise.Cmd("iptables-restore", "-w", "10", "--noflush")
	c.Stdin = strings.NewReader(natCheck)
	if _, err := supervise.Run(ctx, c); err != nil {
		return natFault(err)
	}
	return nil
}

func natFault(err error) error {
	return fault.Wrap(err, fault.Unhealthy, "this image lacks a kernel module or an iptables plugin; use another version",
		"the packet filter does not take a NAT rule, pods would have no network")
}

// pruneData removes what earlier versions of k3s unpacked below its data directory; the current and
// the previous one stay.
func pruneData(dir string) error {
	data := filepath.Join(dir, "data")
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, name := range []string{"current", "previous"} {
		if t, err := os.Readlink(filepath.Join(data, name)); err == nil {
			keep[filepath.Base(t)] = true
		}
	}
	if len(keep) == 0 {
		return nil // it is not known which one is in use
	}
	unpacked := regexp.MustCompile(`^[0-9a-f]{64}(-tmp)?$`)
	for _, e := range entries {
		if e.IsDir() && unpacked.MatchString(e.Name()) && !keep[e.Name()] {
			if err := os.RemoveAll(filepath.Join(data, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
