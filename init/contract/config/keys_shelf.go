package config

import "imgbuild/init/contract/window"

// Roles are the values of shelf.role.
var Roles = []string{"server", "worker", "storage", "router"}

// maxMetric is the largest metric of a route that an int holds everywhere.
const maxMetric = 1<<31 - 1

// shelfRows are the sections k3OS did not have. A later source changes single keys of them.
var shelfRows = []Key{
	{Path: "network", Type: Section, Phase: AtNetwork, Doc: "Interfaces, name servers and wireless networks."},
	{Path: "network.interfaces", Type: Items, Phase: AtNetwork, Doc: "Interfaces that are not simply brought up by DHCP. An interface is found by `mac` if given, else by `name`.",
		Unset: "every wired interface asks DHCP"},
	{Path: "network.interfaces.name", Type: Text, Phase: AtNetwork, Doc: "The kernel's name for it, or `auto` for the first wired interface with a link.", Default: "auto", Example: "eth0"},
	{Path: "network.interfaces.mac", Type: Text, Form: MAC, Phase: AtNetwork, Doc: "Hardware address.", Example: "'dc:a6:32:01:02:03'"},
	{Path: "network.interfaces.dhcp", Type: Bool, Phase: AtNetwork, Doc: "Ask DHCP for an address.", Unset: "true without `addresses`, else false", Example: "true", Aliases: []string{"dhcp4"}},
	{Path: "network.interfaces.dhcp6", Type: Bool, Phase: AtNetwork, Doc: "Ask DHCPv6 for an address; `true` asks even without a router advertisement.", Unset: "by router advertisements", Example: "true"},
	{Path: "network.interfaces.addresses", Type: Texts, Form: Own, Phase: AtNetwork, Doc: "Static addresses with their prefix length.", Example: "[192.168.1.10/24]"},
	{Path: "network.interfaces.gateway", Type: Text, Form: Address, Phase: AtNetwork, Doc: "Default gateway.", Aliases: []string{"gateway4"}, Example: "192.168.1.1"},
	{Path: "network.interfaces.gateway6", Type: Text, Form: Address, Phase: AtNetwork, Doc: "Default gateway for IPv6, next to `gateway`.", Unset: "by router advertisements", Example: "'fd00:1::1'"},
	{Path: "network.interfaces.dns", Type: Texts, Form: Address, Phase: AtNetwork, Doc: "Name servers of this interface.", Aliases: []string{"nameservers"}, Example: "[192.168.1.1]"},
	{Path: "network.interfaces.search", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Search domains of this interface.", Example: "[lan]"},
	{Path: "network.interfaces.routes", Type: Items, Phase: AtNetwork, Doc: "Further routes."},
	{Path: "network.interfaces.routes.to", Type: Text, Form: Prefix, Phase: AtNetwork, Doc: "Where to: a prefix, or `default`.", Example: "10.8.0.0/16"},
	{Path: "network.interfaces.routes.via", Type: Text, Form: Address, Phase: AtNetwork, Doc: "The next hop.", Unset: "directly on the link", Example: "192.168.1.2"},
	{Path: "network.interfaces.routes.metric", Type: Int, Max: maxMetric, Phase: AtNetwork, Doc: "The route with the lowest number wins.", Unset: "the interface's", Example: "100"},
	{Path: "network.interfaces.mtu", Type: Int, Phase: AtNetwork, Doc: "Largest packet in bytes, 576 to 65535.", Min: 576, Max: 65535, Unset: "the driver's", Example: "1500"},
	{Path: "network.interfaces.metric", Type: Int, Max: maxMetric, Phase: AtNetwork, Doc: "Of several default routes the lowest number wins.", Unset: "by order", Example: "100"},
	{Path: "network.interfaces.optional", Type: Bool, Phase: AtNetwork, Doc: "The boot does not wait for it.", Default: "false", Example: "true"},
	{Path: "network.interfaces.ignore_routes", Type: Bool, Phase: AtNetwork, Doc: "Take no route, and so no default route, from DHCP and router advertisements.", Default: "false", Example: "true"},
	{Path: "network.interfaces.ignore_dns", Type: Bool, Phase: AtNetwork, Doc: "Take no name servers and search domains from DHCP and router advertisements.", Default: "false", Example: "true"},
	{Path: "network.interfaces.ignore_ra", Type: Bool, Phase: AtNetwork, Doc: "Ignore router advertisements.", Default: "false", Example: "true"},
	{Path: "network.country", Type: Text, Form: Country, Phase: AtNetwork, Doc: "The country whose radio rules Wi-Fi follows, two letters.", Unset: "the world's common channels", Example: "DE"},
	{Path: "network.wifi", Type: Items, Phase: AtNetwork, Doc: "Wireless networks; they come before those of `k3os.wifi`."},
	{Path: "network.wifi.name", Type: Text, Phase: AtNetwork, Doc: "The name (SSID).", Aliases: []string{"ssid"}, Example: "home"},
	{Path: "network.wifi.passphrase", Type: Text, Phase: AtNetwork, Doc: "The passphrase.", Secret: true, Aliases: []string{"pass", "password", "psk"}, Unset: "an open network", Example: "correct horse battery"},
	{Path: "network.wifi.hidden", Type: Bool, Phase: AtNetwork, Doc: "The network does not announce its name.", Default: "false", Example: "true"},
	{Path: "network.wifi.priority", Type: Int, Phase: AtNetwork, Doc: "The network with the highest number is tried first.", Default: "0", Example: "10"},
	{Path: "network.vlans", Type: Items, Phase: AtNetwork, Doc: "Tagged networks (802.1Q) on an interface. Addresses are given under `interfaces` by the name."},
	{Path: "network.vlans.name", Type: Text, Phase: AtNetwork, Doc: "The name of the new interface.", Unset: "parent and number, `eth0.20`", Example: "lan20"},
	{Path: "network.vlans.parent", Type: Text, Phase: AtNetwork, Doc: "The interface that carries it, by name or hardware address.", Example: "eth0"},
	{Path: "network.vlans.id", Type: Int, Phase: AtNetwork, Doc: "Its number, 1 to 4094.", Min: 1, Max: 4094, Example: "20"},
	{Path: "network.bridges", Type: Items, Phase: AtNetwork, Doc: "Bridges. Addresses are given under `interfaces` by the bridge's name, not by a port's."},
	{Path: "network.bridges.name", Type: Text, Phase: AtNetwork, Doc: "The name of the new interface.", Example: "br0"},
	{Path: "network.bridges.ports", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "The interfaces that it connects, by name or hardware address.", Example: "[eth0, eth1]"},
	{Path: "network.bonds", Type: Items, Phase: AtNetwork, Doc: "Several interfaces as one. Addresses are given under `interfaces` by the bond's name."},
	{Path: "network.bonds.name", Type: Text, Phase: AtNetwork, Doc: "The name of the new interface.", Example: "bond0"},
	{Path: "network.bonds.ports", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "The interfaces that it is made of, by name or hardware address.", Example: "[eth2, eth3]"},
	{Path: "network.bonds.mode", Type: Text, Phase: AtNetwork, Doc: "How they share the work.", Default: "active-backup", Values: []string{"active-backup", "802.3ad", "balance-rr", "balance-xor", "balance-tlb", "balance-alb", "broadcast"}, Example: "802.3ad"},
	{Path: "network.dns", Type: Texts, Form: Address, Phase: AtNetwork, Doc: "Name servers that come before those DHCP names.", Aliases: []string{"nameservers"}, Example: "[192.168.1.1]"},
	{Path: "network.search", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Search domains.", Unset: "from DHCP", Example: "[lan]"},

	{Path: "network.mdns", Type: Bool, Phase: AtRun, Doc: "Answer to `HOSTNAME.local` in the local network and announce ssh and shares (mDNS, DNS-SD).", Default: "true", Example: "false"},

	{Path: "router", Type: Free, Phase: AtRun, Roles: []string{"router"}, Doc: "Uplink, LAN and firewall of a router.", Example: "{}", Planned: true},

	{Path: "monitoring", Type: Section, Phase: AtRun, Doc: "What the node reports about itself."},
	{Path: "monitoring.enabled", Type: Bool, Phase: AtRun, Doc: "Run node-exporter, with the metrics of the node itself.", Default: "true", Example: "false"},
	{Path: "monitoring.listen", Type: Text, Phase: AtRun, Doc: "Where node-exporter listens: an address or an interface, a port, or both; all interfaces only as 0.0.0.0:9100.", Unset: "port 9100 on the address of the interface with the default route", Example: "'192.168.1.10:9100'"},

	{Path: "upgrade", Type: Section, Phase: AtRun, Doc: "Upgrades of the system."},
	{Path: "upgrade.keys", Type: Texts, Phase: AtRun, Doc: "Whose upgrades this node takes, next to the keys that it already has: public keys as `imgbuild keygen` and minisign print them.",
		Unset: "the key that the image was built with", Example: "[RWTAPRW1jm3ROkLJQPk3TA0pFOBlHG12gyGi2W57W+DJ4L16/OTqNcTL]"},
	{Path: "upgrade.deadline", Type: Int, Phase: AtRun, Doc: "How many seconds a new system has, from the start of its services, to pass its checks before the node returns to the system before, 20 to 7200.", Min: 20, Max: 7200, Unset: "as the role of the new system requires", Example: "900"},
	{Path: "upgrade.auto", Type: Bool, Phase: AtRun, Doc: "The node upgrades itself to what `upgrade.channel` names, in its window, one node of a cluster at a time; see docs/upgrade.md.", Default: "false", Example: "true"},
	{Path: "upgrade.channel", Type: Text, Phase: AtRun, Doc: "Address (https:// or http://) of the signed file that names the version, as `imgbuild bundle channel=FILE` writes it; its signature is next to it.", Unset: "no automatic upgrades", Example: "'https://nas.lan/shelf/shelf.channel'"},
	{Path: "upgrade.source", Type: Text, Phase: AtRun, Doc: "Address (https:// or http://) of the directory with the bundles that the channel names.", Unset: "the directory of the channel", Example: "'https://nas.lan/bundles/'"},
	{Path: "upgrade.window", Type: Text, Phase: AtRun, Doc: "When the node may upgrade itself, in its time zone: `[DAYS ]HH:MM-HH:MM`, or `always`. It has to begin in it.", Default: window.Default, Example: "'sat,sun 02:00-05:00'"},
	{Path: "upgrade.lock", Type: Text, Phase: AtRun, Doc: "`cluster`: a node upgrades itself when the first server of its cluster gives it its turn. `none`: nobody is asked, and a node begins later in the window by its name.", Values: []string{"cluster", "none"}, Unset: "cluster for servers and workers, none for others", Example: "none"},

	{Path: "services", Type: Named, Phase: AtRun, Doc: "Further programs for the init to supervise, by name. A later source adds services, and replaces one of the same name. A change takes effect while the node runs: new services are started, removed ones stopped, changed ones restarted."},
	{Path: "services.enabled", Type: Bool, Phase: AtRun, Doc: "Start it.", Default: "true", Example: "false"},
	{Path: "services.command", Type: Texts, Form: Shell, Phase: AtRun, Doc: "Program and arguments, one to an item; a single text is run by `sh -c`.", Example: "[/usr/local/bin/weather, --port=8080]"},
	{Path: "services.user", Type: Text, Phase: AtRun, Doc: "User to run as.", Default: "root", Example: "rancher"},
	{Path: "services.directory", Type: Text, Phase: AtRun, Doc: "Working directory.", Default: "/", Example: "/var/lib/weather"},
	{Path: "services.environment", Type: TextMap, Phase: AtRun, Doc: "Environment variables.", Example: "{LANG: C.UTF-8}"},
	{Path: "services.needs", Type: Texts, Phase: AtRun, Doc: "Services that must be ready first.", Example: "[sshd]"},
	{Path: "services.ready", Type: Section, Phase: AtRun, Doc: "How it shows that it is up; one of notify, tcp, file and command.", Unset: "running is enough"},
	{Path: "services.ready.notify", Type: Bool, Phase: AtRun, Doc: "It sends READY=1 to $NOTIFY_SOCKET.", Default: "false", Example: "true"},
	{Path: "services.ready.tcp", Type: Text, Phase: AtRun, Doc: "It accepts connections at this address and port.", Example: "'127.0.0.1:8080'"},
	{Path: "services.ready.file", Type: Text, Phase: AtRun, Doc: "This file exists.", Example: "/run/weather.pid"},
	{Path: "services.ready.command", Type: Texts, Form: Shell, Phase: AtRun, Doc: "This command succeeds.", Example: "[/usr/local/bin/weather, check]"},
	{Path: "services.ready.timeout", Type: Text, Form: Duration, Phase: AtRun, Doc: "It counts as failed when it is not up by then.", Default: "60s", Example: "5m"},
	{Path: "services.restart", Type: Text, Phase: AtRun, Doc: "When to start it again after it ended.", Default: "always", Values: []string{"always", "on-failure", "never"}, Example: "on-failure"},
	{Path: "services.backoff", Type: Text, Form: Duration, Phase: AtRun, Doc: "Wait before the first restart; it doubles with every further one.", Default: "1s", Example: "5s"},
	{Path: "services.memory", Type: Text, Form: Size, Phase: AtRun, Doc: "Most memory it may use; above it is killed.", Unset: "no limit", Example: "64M"},
	{Path: "services.memory_high", Type: Text, Form: Size, Phase: AtRun, Doc: "Above this it is slowed down and its memory reclaimed.", Unset: "no limit", Example: "48M"},
	{Path: "services.cpu", Type: Int, Phase: AtRun, Doc: "Most CPU it may use, in per cent of one core.", Unset: "no limit", Example: "50"},
	{Path: "services.pids", Type: Int, Phase: AtRun, Doc: "Most processes and threads it may have.", Default: "1024", Example: "64"},
	{Path: "services.stop_signal", Type: Text, Phase: AtRun, Doc: "Signal that asks it to stop.", Default: "TERM", Values: []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"}, Example: "INT"},
	{Path: "services.stop_timeout", Type: Text, Form: Duration, Phase: AtRun, Doc: "It is killed when it has not stopped by then.", Default: "10s", Example: "30s"},

	{Path: "addons", Type: Named, Phase: AtRun, Roles: []string{"server"}, Doc: "Kubernetes add-ons that a server installs through k3s' Helm controller, by name. `traefik`, `coredns`, `metrics-server`, `local-storage` and `servicelb` are those that k3s brings. A later source adds add-ons, and replaces one of the same name; one that is taken out is uninstalled at the next start of k3s."},
	{Path: "addons.enabled", Type: Bool, Phase: AtRun, Doc: "Install it; false takes away one that k3s brings.", Default: "true", Example: "false"},
	{Path: "addons.chart", Type: Text, Phase: AtRun, Doc: "The chart's name in `repo`, or its whole address (https:// or oci://).", Unset: "the add-on's name if there is a `repo`; else these are settings for an add-on that k3s brings", Example: "cert-manager"},
	{Path: "addons.repo", Type: Text, Phase: AtRun, Doc: "Address of the Helm repository.", Example: "'https://charts.jetstack.io'"},
	{Path: "addons.version", Type: Text, Phase: AtRun, Doc: "The chart's exact version, without which a chart is not installed.", Example: "v1.16.2"},
	{Path: "addons.namespace", Type: Text, Phase: AtRun, Doc: "Namespace that it goes into, made if it is not there.", Unset: "the add-on's name", Example: "cert-manager"},
	{Path: "addons.values", Type: Free, Phase: AtRun, Doc: "The chart's values.", Example: "{crds: {enabled: true}}"},
	{Path: "addons.objects", Type: Text, Phase: AtRun, Doc: "Further Kubernetes objects as one or more YAML documents, applied unchanged.", Example: "'{apiVersion: v1, kind: Namespace, metadata: {name: mail}}'"},

	{Path: "time", Type: Section, Phase: AtNetwork, Doc: "Where the time comes from."},
	{Path: "time.servers", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Time servers that come before those DHCP names.", Unset: "DHCP's, then `k3os.ntp_servers`, then the Debian pool", Example: "[192.168.1.1]"},
	{Path: "time.zone", Type: Text, Phase: AtBoot, Doc: "Time zone by its IANA name.", Default: "UTC", Example: "Europe/Berlin"},
	{Path: "time.wait", Type: Text, Form: Duration, Phase: AtNetwork, Doc: "How long k3s and others that need certificates wait for the right time.", Default: "60s", Example: "2m"},

	{Path: "memory", Type: Section, Phase: AtBoot, Doc: "How the node uses its memory."},
	{Path: "memory.zram", Type: Text, Form: AutoSize, Phase: AtBoot, Doc: "Swap in compressed memory: its size, `auto` (half of the memory, 512 MiB at most) or `off`. At most twice the memory.", Unset: "no swap", Example: "auto"},
	{Path: "memory.swap", Type: Text, Phase: AtBoot, Doc: "Refused: swap on a card or disk is not supported. It wears out cards, and a node that swaps to one does not answer for minutes. Use `memory.zram`.", Unset: "no swap", Example: "'off'"},

	{Path: "data", Type: Section, Phase: AtBoot, Doc: "Where the data of the node's services are stored."},
	{Path: "data.device", Type: Text, Phase: AtBoot, Doc: "Another disk for k3s' data: a /dev path, UUID=, LABEL=, PARTUUID= or PARTLABEL= of an ext4, xfs or btrfs file system. It is never formatted; see docs/k3s.md.", Unset: "the data partition of the boot disk", Example: "LABEL=k3sdata"},

	{Path: "backup", Type: Section, Phase: AtRun, Roles: []string{"server"}, Doc: "Daily copies of a server's datastore and identity."},
	{Path: "backup.to", Type: Text, Phase: AtRun, Roles: []string{"server"}, Doc: "Where to, an nfs:// or sftp:// URL.", Unset: "no backup", Example: "'sftp://backup@nas/shelf'"},
	{Path: "backup.keep", Type: Int, Phase: AtRun, Roles: []string{"server"}, Doc: "How many to keep.", Default: "7", Example: "14"},
	{Path: "backup.host_key", Type: Text, Phase: AtRun, Roles: []string{"server"}, Doc: "The sftp server's public key, as in its /etc/ssh/ssh_host_ed25519_key.pub.", Unset: "the key that it shows at the first contact is kept", Example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN"},

	{Path: "shelf", Type: Section, Phase: AtBoot, Doc: "What this node is. The image sets it; the role may be changed here."},
	{Path: "shelf.role", Type: Text, Phase: AtBoot, Doc: "The node's role.", Values: Roles, Unset: "what the image was built for", Example: "server"},
	{Path: "shelf.board", Type: Text, Phase: AtBuild, Doc: "The board the image was built for. imgbuild writes it.", Unset: "from the boot loader", Example: "rpi4"},
}
