package monitor

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/config"
	"imgbuild/init/net/network"
	"imgbuild/init/supervise"
)

// UnitName is node-exporter's in the supervisor.
const UnitName = "node-exporter"

// collectors are those that are useful on a small board; each of the others costs memory and
// time at every scrape.
var collectors = [...]string{"cpu", "cpufreq", "diskstats", "filefd", "filesystem", "hwmon", "loadavg", "meminfo", "netdev", "pressure", "stat", "textfile", "thermal_zone", "time", "timex", "uname", "vmstat"}

// Unit is node-exporter as a service. listen returns the address at each start.
func Unit(listen func() (string, error)) supervise.Unit {
	return supervise.Unit{
		Name: UnitName, User: "prometheus", Command: []string{"/usr/bin/prometheus-node-exporter"},
		// It has one thing to do every half minute: one processor, and a heap that is collected
		// before it grows.
		Env:      []string{"GOMAXPROCS=1", "GOMEMLIMIT=16MiB", "GOGC=50"},
		Limits:   cgroup.Limits{MemoryMax: 64 << 20, CPUWeight: 20},
		OOMScore: 500, StopOrder: 10, NoFile: 1024,
		Prepare: func(context.Context, supervise.Say) error {
			_, err := listen()
			return err
		},
		Arguments: func() ([]string, []string, error) {
			address, err := listen()
			return arguments(address), nil, err
		},
	}
}

func arguments(address string) []string {
	args := []string{
		"/usr/bin/prometheus-node-exporter", "--web.listen-address=" + address, "--web.disable-exporter-metrics", "--web.max-requests=2", "--log.level=warn",
		"--collector.disable-defaults", "--collector.textfile.directory=" + Dir,
		"--path.udev.data=" + Dir, // there is no udev; a missing directory would be reported as an error
		// Pods' mounts come and go by the hundred and show nothing that their node's disk does not
		// show.
		`--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run|etc|tmp|usr|boot|k3os/system|k3os/config|var/lib/(kubelet|rancher/k3s|containerd)/.+)($|/)`,
		// Network file systems hang with their server, and the answer of all of it with them.
		`--collector.filesystem.fs-types-exclude=^(nfs4?|cifs|smb3|ceph|9p|fuse\..+|rpc_pipefs|autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|mqueue|nsfs|overlay|proc|pstore|securityfs|squashfs|sysfs|tmpfs|tracefs)$`,
		`--collector.netdev.device-exclude=^(lo|veth.*|cali.*|tunl.*|sit.*|ip6tnl.*|dummy.*)$`,
		`--collector.diskstats.device-exclude=^(ram|loop|nbd|zram|dm-|sr|fd)\d+$`,
	}
	for _, c := range collectors {
		args = append(args, "--collector."+c)
	}
	return args
}

// Listen returns the address that node-exporter listens on. setting is monitoring.listen: an
// address and a port, either alone, or an interface's name in the place of the address. Without an
// address it is that of the shelf: the interface with the default route, else the first with an
// address. All interfaces are served only if the setting asks for it with 0.0.0.0 or [::]. Without
// an address yet the error is a *supervise.Waiting.
func Listen(setting string, interfaces []network.Status) (string, error) {
	host, port, err := config.Monitoring{Listen: setting}.ListenAddress()
	if err != nil {
		return "", fmt.Errorf("monitoring.listen: %w", err)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(host, port), nil
	}
	for _, i := range interfaces {
		if a, ok := address(i); ok && host == i.Name {
			return net.JoinHostPort(a.String(), port), nil
		}
	}
	if host != "" {
		return "", &supervise.Waiting{What: "the interface " + host + " of monitoring.listen has no address"}
	}
	if a, ok := Primary(interfaces); ok {
		return net.JoinHostPort(a.String(), port), nil
	}
	return "", &supervise.Waiting{What: "no interface has an address yet"}
}

// Primary is the address under which the shelf knows the node: that of the interface with the
// default route of the lowest metric, else of the first that has one.
func Primary(interfaces []network.Status) (netip.Addr, bool) {
	var best netip.Addr
	metric := 0
	for _, i := range interfaces {
		a, ok := address(i)
		if !ok {
			continue
		}
		if m, out := i.Way(); out && (metric == 0 || m < metric) {
			best, metric = a, max(m, 1)
		}
	}
	for _, i := range interfaces {
		if a, ok := address(i); ok && !best.IsValid() {
			best = a
		}
	}
	return best, best.IsValid()
}

// address is an interface's own: the first of IPv4, else the first that is not of its link alone.
func address(i network.Status) (netip.Addr, bool) {
	var other netip.Addr
	for _, p := range i.Addresses {
		switch a := p.Addr(); {
		case a.Is4():
			return a, true
		case !other.IsValid() && !a.IsLinkLocalUnicast():
			other = a
		}
	}
	return other, other.IsValid()
}
