package config

var routerRole = []string{"router"}

// routerRows are the section of a router.
var routerRows = []Key{
	{Path: "router", Type: Section, Phase: AtNetwork, Roles: routerRole, Doc: "The two sides of a router and what passes between them; see docs/router.md. Without any key the shelf on the cable joins the network of the Wi-Fi."},
	{Path: "router.mode", Type: Text, Phase: AtNetwork, Roles: routerRole, Doc: "`proxy-arp`: the boards are in the uplink's own network and get their addresses from its DHCP server. `nat`: the shelf is a network of its own, behind the router's address.", Default: "proxy-arp", Values: []string{"proxy-arp", "nat"}, Example: "nat"},
	{Path: "router.uplink", Type: Section, Short: "interface", Phase: AtNetwork, Roles: routerRole, Doc: "The side of the modem. A name in its place is the interface's."},
	{Path: "router.uplink.interface", Type: Text, Phase: AtNetwork, Roles: routerRole, Doc: "The card on that side, by the kernel's name or its hardware address.", Default: "wlan0", Example: "eth1"},
	{Path: "router.uplink.ssh", Type: Bool, Phase: AtRun, Roles: routerRole, Doc: "With nat: ssh is open on that side to everybody. It always is to the uplink's own network where that is a private one.", Default: "false", Example: "true"},
	{Path: "router.shelf", Type: Section, Short: "interface", Phase: AtNetwork, Roles: routerRole, Doc: "The side of the boards. A name in its place is the interface's."},
	{Path: "router.shelf.interface", Type: Text, Phase: AtNetwork, Roles: routerRole, Doc: "The card on that side, by the kernel's name or its hardware address. It gets its settings from this section, and none from `network.interfaces`.", Default: "eth0", Example: "'dc:a6:32:01:02:03'"},
	{Path: "router.shelf.address", Type: Text, Form: Own, Phase: AtNetwork, Roles: routerRole, Doc: "With nat: the router's address on the shelf, with the prefix length of that network.", Default: "10.77.0.1/24", Example: "10.99.0.1/24"},
	{Path: "router.shelf.range", Type: Text, Phase: AtRun, Roles: routerRole, Doc: "With nat: the first and the last address that DHCP gives to boards without an entry in `router.leases`.", Unset: "the upper half of the network", Example: "10.77.0.100-10.77.0.199"},
	{Path: "router.leases", Type: Items, Phase: AtRun, Roles: routerRole, Doc: "With nat: boards that always get the same address and name."},
	{Path: "router.leases.mac", Type: Text, Form: MAC, Phase: AtRun, Roles: routerRole, Doc: "The board's hardware address.", Example: "'dc:a6:32:0a:0b:0c'"},
	{Path: "router.leases.name", Type: Text, Phase: AtRun, Roles: routerRole, Doc: "Its name.", Unset: "the one that it gives itself", Example: "node1"},
	{Path: "router.leases.address", Type: Text, Form: Address, Phase: AtRun, Roles: routerRole, Doc: "Its address.", Example: "10.77.0.60"},
	{Path: "router.forwards", Type: Items, Phase: AtRun, Roles: routerRole, Doc: "With nat: ports of the router's uplink that lead to a board."},
	{Path: "router.forwards.port", Type: Int, Min: 1, Max: 65535, Phase: AtRun, Roles: routerRole, Doc: "The port on the uplink.", Example: "8080"},
	{Path: "router.forwards.to", Type: Text, Phase: AtRun, Roles: routerRole, Doc: "The board's address and port, or the address alone for the same port.", Example: "'10.77.0.60:80'"},
	{Path: "router.forwards.protocol", Type: Text, Phase: AtRun, Roles: routerRole, Doc: "Which of both.", Default: "tcp", Values: []string{"tcp", "udp"}, Example: "udp"},

	{Path: "router.dns", Type: Section, Phase: AtRun, Roles: routerRole, Doc: "A name server for the shelf: names of boards, names given here, and lists of names that are not resolved."},
	{Path: "router.dns.enabled", Type: Bool, Phase: AtRun, Roles: routerRole, Doc: "Run it. With nat a name server runs in any case; the keys below have an effect only with this one.", Default: "false", Example: "true"},
	{Path: "router.dns.uplink", Type: Bool, Phase: AtRun, Roles: routerRole, Doc: "Answer on the uplink's side as well, to that network alone and only if it is a private one.", Default: "false", Example: "true"},
	{Path: "router.dns.servers", Type: Texts, Form: Address, Phase: AtRun, Roles: routerRole, Doc: "The name servers that are asked for everything else.", Unset: "those of the node", Example: "[9.9.9.9, 1.1.1.1]"},
	{Path: "router.dns.hosts", Type: Items, Phase: AtRun, Roles: routerRole, Doc: "Names and their addresses."},
	{Path: "router.dns.hosts.name", Type: Text, Phase: AtRun, Roles: routerRole, Doc: "The name. One without a dot is known with `.shelf` as well.", Example: "nas"},
	{Path: "router.dns.hosts.address", Type: Text, Form: Address, Phase: AtRun, Roles: routerRole, Doc: "Its address.", Example: "192.168.1.20"},
	{Path: "router.dns.blocklists", Type: Texts, Phase: AtRun, Roles: routerRole, Doc: "Lists in the form of /etc/hosts of names that do not exist for clients, together with all below them: https URLs, read once a week, or files on the node, by their absolute path.", Example: "['https://example.org/hosts', /home/rancher/blocked]"},
}
