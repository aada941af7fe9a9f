package config

// Roles are the values of shelf.role.
var Roles = []string{"server", "worker", "storage", "router"}

// shelfRows are the sections k3OS did not have. A later source changes single keys of them.
var shelfRows = []Key{
	{Path: "network", Type: Section, Phase: AtNetwork, Doc: "Interfaces, name servers and wireless networks."},
	{Path: "network.interfaces", Type: Items, Phase: AtNetwork, Doc: "Interfaces that are not simply brought up by DHCP. An interface is found by `mac` if given, else by `name`.",
		Unset: "every wired interface asks DHCP"},
	{Path: "network.interfaces.name", Type: Text, Phase: AtNetwork, Doc: "The kernel's name for it, or `auto` for the first wired interface with a link.", Default: "auto", Example: "eth0"},
	{Path: "network.interfaces.mac", Type: Text, Form: MAC, Phase: AtNetwork, Doc: "Hardware address.", Example: "'dc:a6:32:01:02:03'"},
	{Path: "network.interfaces.dhcp", Type: Bool, Phase: AtNetwork, Doc: "Ask DHCP for an address.", Unset: "true without `addresses`, else false", Example: "true", Aliases: []string{"dhcp4"}},
	{Path: "network.interfaces.addresses", Type: Texts, Form: Prefix, Phase: AtNetwork, Doc: "Static addresses with their prefix length.", Example: "[192.168.1.10/24]"},
	{Path: "network.interfaces.gateway", Type: Text, Form: Address, Phase: AtNetwork, Doc: "Default gateway.", Aliases: []string{"gateway4"}, Example: "192.168.1.1"},
	{Path: "network.interfaces.dns", Type: Texts, Form: Address, Phase: AtNetwork, Doc: "Name servers of this interface.", Aliases: []string{"nameservers"}, Example: "[192.168.1.1]"},
	{Path: "network.interfaces.search", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Search domains of this interface.", Example: "[lan]"},
	{Path: "network.interfaces.routes", Type: Items, Phase: AtNetwork, Doc: "Further routes."},
	{Path: "network.interfaces.routes.to", Type: Text, Form: Prefix, Phase: AtNetwork, Doc: "Where to: a prefix, or `default`.", Example: "10.8.0.0/16"},
	{Path: "network.interfaces.routes.via", Type: Text, Form: Address, Phase: AtNetwork, Doc: "The next hop.", Unset: "directly on the link", Example: "192.168.1.2"},
	{Path: "network.interfaces.routes.metric", Type: Int, Phase: AtNetwork, Doc: "The route with the lowest number wins.", Unset: "the interface's", Example: "100"},
	{Path: "network.interfaces.mtu", Type: Int, Phase: AtNetwork, Doc: "Largest packet in bytes.", Unset: "the driver's", Example: "1500"},
	{Path: "network.interfaces.metric", Type: Int, Phase: AtNetwork, Doc: "Of several default routes the lowest number wins.", Unset: "by order", Example: "100"},
	{Path: "network.interfaces.optional", Type: Bool, Phase: AtNetwork, Doc: "The boot does not wait for it.", Default: "false", Example: "true"},
	{Path: "network.country", Type: Text, Phase: AtNetwork, Doc: "The country whose radio rules Wi-Fi follows, two letters.", Unset: "the world's common channels", Example: "DE", Planned: true},
	{Path: "network.wifi", Type: Items, Phase: AtNetwork, Doc: "Wireless networks; they come before those of `k3os.wifi`.", Planned: true},
	{Path: "network.wifi.name", Type: Text, Phase: AtNetwork, Doc: "The name (SSID).", Aliases: []string{"ssid"}, Example: "home"},
	{Path: "network.wifi.passphrase", Type: Text, Phase: AtNetwork, Doc: "The passphrase.", Secret: true, Aliases: []string{"pass", "password"}, Unset: "an open network", Example: "correct horse battery"},
	{Path: "network.wifi.hidden", Type: Bool, Phase: AtNetwork, Doc: "The network does not announce its name.", Default: "false", Example: "true"},
	{Path: "network.wifi.priority", Type: Int, Phase: AtNetwork, Doc: "The network with the highest number is tried first.", Default: "0", Example: "10"},
	{Path: "network.dns", Type: Texts, Form: Address, Phase: AtNetwork, Doc: "Name servers that come before those DHCP names.", Aliases: []string{"nameservers"}, Example: "[192.168.1.1]"},
	{Path: "network.search", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Search domains.", Unset: "what DHCP says", Example: "[lan]"},

	{Path: "storage", Type: Free, Phase: AtRun, Roles: []string{"storage"}, Doc: "Disks and shares of a storage node.", Example: "{}", Planned: true},
	{Path: "router", Type: Free, Phase: AtRun, Roles: []string{"router"}, Doc: "Uplink, LAN and firewall of a router.", Example: "{}", Planned: true},

	{Path: "monitoring", Type: Section, Phase: AtRun, Doc: "What the node tells about itself."},
	{Path: "monitoring.enabled", Type: Bool, Phase: AtRun, Doc: "Run node-exporter.", Default: "true", Example: "false", Planned: true},
	{Path: "monitoring.listen", Type: Text, Phase: AtRun, Doc: "Address and port of node-exporter.", Unset: "port 9100 on the address of the shelf", Example: "'192.168.1.10:9100'", Planned: true},

	{Path: "upgrade", Type: Free, Phase: AtRun, Doc: "Where upgrades come from and when.", Example: "{}", Planned: true},

	{Path: "services", Type: Named, Phase: AtRun, Doc: "Further programs for the init to supervise, by name. A later source adds services, and replaces one of the same name.", Planned: true},
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
	{Path: "services.memory", Type: Text, Form: Size, Phase: AtRun, Doc: "Most memory it may use.", Unset: "no limit", Example: "64M"},
	{Path: "services.cpu", Type: Int, Phase: AtRun, Doc: "Most CPU it may use, in per cent of one core.", Unset: "no limit", Example: "50"},
	{Path: "services.stop_signal", Type: Text, Phase: AtRun, Doc: "Signal that asks it to stop.", Default: "TERM", Values: []string{"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"}, Example: "INT"},
	{Path: "services.stop_timeout", Type: Text, Form: Duration, Phase: AtRun, Doc: "It is killed when it has not stopped by then.", Default: "10s", Example: "30s"},

	{Path: "addons", Type: Named, Phase: AtRun, Roles: []string{"server"}, Doc: "Kubernetes add-ons that a server installs through k3s' Helm controller, by name. `traefik`, `coredns`, `metrics-server`, `local-storage` and `servicelb` are those that k3s brings. A later source adds add-ons, and replaces one of the same name; one that is taken out is uninstalled at the next start of k3s."},
	{Path: "addons.enabled", Type: Bool, Phase: AtRun, Doc: "Install it; false takes away one that k3s brings.", Default: "true", Example: "false"},
	{Path: "addons.chart", Type: Text, Phase: AtRun, Doc: "The chart's name in `repo`, or its whole address (https:// or oci://).", Unset: "the add-on's name if there is a `repo`; else these are settings for an add-on that k3s brings", Example: "cert-manager"},
	{Path: "addons.repo", Type: Text, Phase: AtRun, Doc: "Address of the Helm repository.", Example: "'https://charts.jetstack.io'"},
	{Path: "addons.version", Type: Text, Phase: AtRun, Doc: "The chart's exact version, without which a chart is not installed.", Example: "v1.16.2"},
	{Path: "addons.namespace", Type: Text, Phase: AtRun, Doc: "Namespace that it goes into, made if it is not there.", Unset: "the add-on's name", Example: "cert-manager"},
	{Path: "addons.values", Type: Free, Phase: AtRun, Doc: "The chart's values.", Example: "{crds: {enabled: true}}"},
	{Path: "addons.objects", Type: Text, Phase: AtRun, Doc: "Further Kubernetes objects as one or more YAML documents, applied as they stand.", Example: "'{apiVersion: v1, kind: Namespace, metadata: {name: mail}}'"},

	{Path: "time", Type: Section, Phase: AtNetwork, Doc: "Where the time comes from."},
	{Path: "time.servers", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Time servers that come before those DHCP names.", Unset: "DHCP's, then `k3os.ntp_servers`, then the Debian pool", Example: "[192.168.1.1]"},
	{Path: "time.zone", Type: Text, Phase: AtBoot, Doc: "Time zone by its IANA name.", Default: "UTC", Example: "Europe/Berlin", Planned: true},
	{Path: "time.wait", Type: Text, Form: Duration, Phase: AtNetwork, Doc: "How long k3s and others that need certificates wait for the right time.", Default: "60s", Example: "2m"},

	{Path: "data", Type: Section, Phase: AtBoot, Doc: "Where the data of the node's services lie."},
	{Path: "data.device", Type: Text, Phase: AtBoot, Doc: "Another disk for k3s' data: a /dev path, UUID=, LABEL=, PARTUUID= or PARTLABEL= of an ext4, xfs or btrfs file system. It is never formatted; see docs/k3s.md.", Unset: "the data partition of the boot disk", Example: "LABEL=k3sdata"},

	{Path: "backup", Type: Section, Phase: AtRun, Roles: []string{"server"}, Doc: "Daily copies of a server's datastore and identity."},
	{Path: "backup.to", Type: Text, Phase: AtRun, Roles: []string{"server"}, Doc: "Where to, an nfs:// or sftp:// URL.", Unset: "no backup", Example: "'sftp://backup@nas/shelf'"},
	{Path: "backup.keep", Type: Int, Phase: AtRun, Roles: []string{"server"}, Doc: "How many to keep.", Default: "7", Example: "14"},
	{Path: "backup.host_key", Type: Text, Phase: AtRun, Roles: []string{"server"}, Doc: "The sftp server's public key, as in its /etc/ssh/ssh_host_ed25519_key.pub.", Unset: "the key that it shows at the first contact is kept", Example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN"},

	{Path: "shelf", Type: Section, Phase: AtBoot, Doc: "What this node is. The image says it already; the role may be changed here."},
	{Path: "shelf.role", Type: Text, Phase: AtBoot, Doc: "The node's role.", Values: Roles, Unset: "what the image was built for", Example: "server"},
	{Path: "shelf.board", Type: Text, Phase: AtBuild, Doc: "The board the image was built for. imgbuild writes it.", Unset: "what the boot loader says", Example: "rpi4"},
}
