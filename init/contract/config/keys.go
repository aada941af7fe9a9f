package config

import "slices"

// rows returns the key table: k3OS's keys, then ours. A section is before its keys.
func rows() []Key { return slices.Concat(k3osRows, shelfRows, storageRows, routerRows) }

// k3sRoles are the roles that run k3s.
var k3sRoles = []string{"server", "worker"}

// k3osRows are the keys k3OS knew, with the meaning they had there unless Doc has another.
var k3osRows = []Key{
	{Path: "ssh_authorized_keys", Type: Texts, Form: Keys, Phase: AtBoot,
		Doc:     "Keys for the login as `rancher`: OpenSSH public keys, `github:USER`, `gitlab:USER`, `launchpad:USER` or an https URL of such keys. A key that is taken out here is taken off the node.",
		Unset:   "nobody can log in",
		Example: "['github:someone', 'https://example.org/my.keys']"},
	{Path: "write_files", Type: Items, Phase: AtBoot,
		Doc: "Files to write at every boot, before `boot_cmd`, in order; one that fails does not stop the next."},
	{Path: "write_files.path", Type: Text, Phase: AtBoot, Doc: "Absolute path; missing directories are made, 0755 and root's.", Example: "/etc/motd"},
	{Path: "write_files.content", Type: Text, Phase: AtBoot, Doc: "The content, encoded as given by `encoding`.", Unset: "an empty file", Example: "aGVsbG8="},
	{Path: "write_files.encoding", Type: Text, Phase: AtBoot, Doc: "How `content` is encoded.", Unset: "as written", Example: "b64",
		Values: []string{"", "text/plain", "b64", "base64", "gz", "gzip", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}},
	{Path: "write_files.owner", Type: Text, Phase: AtBoot, Doc: "Owner as chown takes it: user, user:group or numbers.", Unset: "root", Example: "rancher:rancher"},
	{Path: "write_files.permissions", Type: Text, Form: Mode, Phase: AtBoot, Doc: "Octal permissions, with or without quotes and leading zero.", Default: "'0644'", Example: "'0600'"},
	{Path: "write_files.append", Type: Bool, Phase: AtBoot, Doc: "Put the content after what is in the file, unless it is there already.", Default: "false", Example: "true"},
	{Path: "hostname", Type: Text, Phase: AtBoot, Doc: "The name of the node; DHCP does not change it.",
		Unset: "a name made once and kept", Example: "shelf-1"},
	{Path: "init_cmd", Type: Texts, Phase: AtBoot, Doc: "Commands for `sh -c`, in order, before `boot_cmd`; the first that fails stops the list.", Example: "[echo first]"},
	{Path: "boot_cmd", Type: Texts, Phase: AtBoot, Doc: "Commands for `sh -c`, in order, before there is a network; the first that fails stops the list.", Example: "[echo second]"},
	{Path: "run_cmd", Type: Texts, Phase: AtRun, Doc: "Commands for `sh -c`, in order, once there is a network; the first that fails stops the list.", Example: "[echo third]"},

	{Path: "k3os", Type: Section, Phase: AtBoot, Doc: "The settings of k3OS. A later source changes single keys of it; lists and maps in it are replaced as a whole."},
	{Path: "k3os.data_sources", Type: Texts, Phase: AtBoot, Doc: "Where else a cloud-config is: `cidata` (also `nocloud`, `cdrom`) for a disk or stick called CIDATA, `file=PATH`, `URL#sha256=HEX`, or `URL#minisign=KEY` with the signature at URL.minisig.", Unset: "nowhere else", Example: "[cidata, 'https://example.org/node.yaml#sha256=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08']"},
	{Path: "k3os.modules", Type: Texts, Phase: AtBoot, Doc: "Kernel modules to load, each with its parameters; one that fails does not stop the next.", Example: "[wireguard, 'loop max_loop=16']"},
	{Path: "k3os.sysctls", Type: TextMap, Phase: AtBoot, Doc: "Kernel settings, written in the order of their names; one that fails does not stop the next.", Example: "{kernel.printk: 4 4 1 7, vm.swappiness: 10}"},
	{Path: "k3os.ntp_servers", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Time servers for when DHCP names none; `time.servers` come before both.", Example: "[0.pool.ntp.org]"},
	{Path: "k3os.dns_nameservers", Type: Texts, Form: Hosts, Phase: AtNetwork, Doc: "Name servers for when DHCP names none; `network.dns` come before both.", Default: "[8.8.8.8]", Example: "[9.9.9.9, 1.1.1.1]"},
	{Path: "k3os.wifi", Type: Items, Phase: AtNetwork, Doc: "Wireless networks; `network.wifi` is the place with more settings."},
	{Path: "k3os.wifi.name", Type: Text, Phase: AtNetwork, Doc: "The name (SSID).", Aliases: []string{"ssid"}, Example: "home"},
	{Path: "k3os.wifi.passphrase", Type: Text, Phase: AtNetwork, Doc: "The passphrase.", Secret: true, Aliases: []string{"pass", "password", "psk"}, Unset: "an open network", Example: "correct horse battery"},
	{Path: "k3os.wifi.hidden", Type: Bool, Phase: AtNetwork, Doc: "The network does not announce its name.", Default: "false", Example: "true"},
	{Path: "k3os.wifi.priority", Type: Int, Phase: AtNetwork, Doc: "The network with the highest number is tried first.", Default: "0", Example: "10"},
	{Path: "k3os.password", Type: Text, Phase: AtBoot, Doc: "Password of `rancher` for the console and never for ssh: a crypt(5) hash, or clear text, which is hashed and erased at import.",
		Secret: true, Unset: "no password login", Example: "$6$salt1234$7vYDzW/0BSK6g.QJXnin/odIMK9hfjAdb4JkTDxpk.1htoyOUm8eFCuJUZ4J9d1Z.KGmArwsl5OLBN1nBRZRZ0"},
	{Path: "k3os.server_url", Type: Text, Phase: AtRun, Roles: k3sRoles, Doc: "The k3s server that a worker, or a further server, joins.", Example: "https://shelf-1:6443"},
	{Path: "k3os.token", Type: Text, Phase: AtRun, Roles: k3sRoles, Doc: "The secret that nodes of one cluster share.", Secret: true, Unset: "a server makes one", Example: "a-long-random-word"},
	{Path: "k3os.labels", Type: TextMap, Phase: AtRun, Roles: k3sRoles, Doc: "Labels of the Kubernetes node, given when it registers.", Example: "{region: eu}"},
	{Path: "k3os.taints", Type: Texts, Phase: AtRun, Roles: k3sRoles, Doc: "Taints of the Kubernetes node, `key=value:Effect`, given when it registers; unlike k3OS all of them count.", Example: "['dedicated=db:NoSchedule']"},
	{Path: "k3os.k3s_args", Type: Texts, Form: Words, Phase: AtRun, Roles: k3sRoles, Doc: "Arguments of k3s, one to an item; `server` or `agent` in front is allowed and must fit the role.", Example: "[server, --disable=traefik]"},
	{Path: "k3os.environment", Type: TextMap, Phase: AtBoot, Doc: "Variables of every login, which only root and `rancher` can read; k3s gets `K3S_*`, `CONTAINERD_*` and the proxies of it. Values whose name ends in TOKEN, PASSWORD, SECRET, _KEY or the like are secrets, and addresses with a password in them.", Example: "{HTTP_PROXY: 'http://proxy:3128'}"},
	{Path: "k3os.install", Type: Section, Phase: AtBuild, Doc: "k3OS's installer. It is read so that an old file gives no error, and does nothing: imgbuild writes whole images."},
	{Path: "k3os.install.force_efi", Type: Bool, Phase: AtBuild, Doc: "No effect.", Default: "false", Example: "true"},
	{Path: "k3os.install.device", Type: Text, Phase: AtBuild, Doc: "No effect.", Example: "/dev/sda"},
	{Path: "k3os.install.config_url", Type: Text, Phase: AtBuild, Doc: "No effect.", Example: "http://10.0.0.1/config.yaml"},
	{Path: "k3os.install.silent", Type: Bool, Phase: AtBuild, Doc: "No effect.", Default: "false", Example: "true"},
	{Path: "k3os.install.iso_url", Type: Text, Phase: AtBuild, Doc: "No effect.", Example: "http://10.0.0.1/k3os.iso"},
	{Path: "k3os.install.power_off", Type: Bool, Phase: AtBuild, Doc: "No effect.", Default: "false", Example: "true"},
	{Path: "k3os.install.no_format", Type: Bool, Phase: AtBuild, Doc: "No effect.", Default: "false", Example: "true"},
	{Path: "k3os.install.debug", Type: Bool, Phase: AtBuild, Doc: "No effect.", Default: "false", Example: "true"},
	{Path: "k3os.install.tty", Type: Text, Phase: AtBuild, Doc: "No effect.", Example: "ttyS0"},
}
