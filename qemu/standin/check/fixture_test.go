package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	dropIn = "/etc/rancher/k3s/config.yaml.d/10-k3os.yaml"
	build  = 1763800000 // the fixture's slot was built then
)

// node is a directory that looks like a node to the probes, files as a real one prints them.
var node = map[string]string{
	"/sys/fs/cgroup/cgroup.controllers":     "cpuset cpu io memory hugetlb pids rdma misc\n",
	"/sys/fs/cgroup/cgroup.subtree_control": "cpuset cpu io memory hugetlb pids rdma misc\n",
	"/proc/1/cgroup":                        "0::/init\n",
	"/proc/self/cgroup":                     "0::/k3s\n",
	"/proc/self/mountinfo": `1 0 8:4 / / rw,relatime shared:1 - ext4 /dev/vda4 rw,errors=remount-ro
21 1 254:1 / /usr ro,nodev,relatime shared:2 - squashfs /dev/dm-1 ro,errors=continue
22 1 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:3 - proc proc rw
23 1 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:4 - sysfs sysfs rw
24 23 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:5 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
25 1 0:24 / /run rw,nosuid,nodev shared:6 - tmpfs tmpfs rw,mode=755
26 1 0:25 / /etc rw,nosuid,nodev shared:7 - tmpfs tmpfs rw,mode=755
27 1 0:26 / /tmp rw,nosuid,nodev shared:8 - tmpfs tmpfs rw
`,
	"/proc/filesystems": "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tmqueue\nnodev\toverlay\n\text4\n\tsquashfs\n",
	"/proc/modules": "veth 40960 0 - Live 0x0\nbr_netfilter 32768 0 - Live 0x0\nbridge 311296 1 br_netfilter, Live 0x0\nnf_conntrack 176128 0 - Live 0x0\n" +
		"nf_tables 300000 0 - Live 0x0\nnft_compat 20480 0 - Live 0x0\nnft_chain_nat 12288 0 - Live 0x0\nxt_comment 12288 0 - Live 0x0\nxt_conntrack 12288 0 - Live 0x0\n" +
		"xt_MASQUERADE 16384 0 - Live 0x0\nxt_mark 12288 0 - Live 0x0\nxt_addrtype 12288 0 - Live 0x0\nxt_statistic 12288 0 - Live 0x0\nxt_multiport 16384 0 - Live 0x0\n" +
		"xt_nat 16384 0 - Live 0x0\nvxlan 131072 0 - Live 0x0\n",
	"/usr/lib/modules/6.12.1/modules.builtin":      "kernel/fs/fuse/fuse.ko\nkernel/fs/overlayfs/overlay.ko\n",
	"/proc/sys/kernel/osrelease":                   "6.12.1\n",
	"/proc/sys/kernel/modprobe":                    "/sbin/modprobe\n",
	"/proc/sys/kernel/keys/root_maxkeys":           "1000000\n",
	"/proc/sys/kernel/hostname":                    "k3os-525400123456\n",
	"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
	"/proc/swaps":                        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
	"/proc/self/limits":                  "Limit                     Soft Limit           Hard Limit           Units     \nMax processes             95000                95000                processes \nMax open files            1048576              1048576              files     \n",
	"/proc/self/status":                  "Name:\tk3s\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\n",
	"/proc/self/cmdline":                 "/usr/bin/k3s\x00agent\x00",
	"/proc/self/ns/net":                  "",
	"/proc/self/ns/pid":                  "",
	"/proc/self/ns/ipc":                  "",
	"/proc/self/ns/uts":                  "",
	"/proc/self/ns/mnt":                  "",
	"/proc/meminfo":                      "MemTotal:        2000000 kB\nMemFree:         1000000 kB\n",
	"/proc/net/route":                    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
	"/proc/net/fib_trie":                 "Main:\n  +-- 0.0.0.0/0 3 0 5\n        |-- 127.0.0.1\n           /32 host LOCAL\n",
	"/dev/kmsg":                          "",
	"/run/.keep":                         "",
	"/tmp/.keep":                         "",
	"/var/lib/rancher/k3os/node/.keep":   "",
	"/var/lib/rancher/k3os/token":        "K10abc::server:secret\n",
	"/usr/bin/mount":                     "x",
	"/usr/bin/umount":                    "x",
	"/usr/sbin/modprobe":                 "x",
	"/usr/sbin/blkid":                    "x",
	"/usr/sbin/iptables-restore":         "x",
	"/usr/sbin/ip6tables-restore":        "x",
	"/etc/ssl/certs/ca-certificates.crt": strings.Repeat("-----BEGIN CERTIFICATE-----\n", 100),
	"/etc/passwd":                        "root:x:0:0:root:/root:/bin/bash\nrancher:x:1000:1000::/home/rancher:/bin/bash\n",
	"/etc/machine-id":                    "0123456789abcdef0123456789abcdef\n",
	"/etc/resolv.conf":                   "nameserver 10.0.2.3\n",
	"/k3os/system/manifest.json":         fmt.Sprintf(`{"format":1,"date":%d}`, build),
	dropIn:                               "server: https://10.9.0.1:6443\ntoken-file: /var/lib/rancher/k3os/token\nnode-name: k3os-525400123456\n",
}

var links = map[string]string{"/sbin": "usr/sbin", "/bin": "usr/bin", "/etc/rancher/node": "/var/lib/rancher/k3os/node"}

// fixture lays the node out and gives a host whose commands all work.
func fixture(t *testing.T, role string) *Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range node {
		mode := os.FileMode(0o600)
		if content == "x" {
			mode = 0o755
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NOTIFY_SOCKET": "/run/shelf/k3s.notify"}
	return &Host{
		Root: root, Role: role,
		Now:    func() time.Time { return time.Unix(build+1000, 0) },
		Getenv: func(name string) string { return env[name] },
		Run: func(argv ...string) (string, error) {
			return "iptables v1.8.11 (nf_tables)\n", nil
		},
		Delegate: func([]string) error { return nil },
	}
}
