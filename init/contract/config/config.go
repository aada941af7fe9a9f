// Package config is the cloud-config of a node: k3OS's schema as k3OS read it, minus its bugs, and
// the sections of ShelfOS next to it.
//
// Sources are parsed one by one into layers (Parse, CmdlineLayer), merged (Merge) and checked
// (Check). Every finding is a Problem with file, line, column, key and a way out. One bad value
// never costs the rest of a file: it is reported and left out. The node and `imgbuild validate` run
// the same code.
//
// The key table (keys.go, keys_shelf.go) is the one description of every key: decoding, the JSON
// Schema and docs/config.md come from it.
package config

import "time"

// Config is the merged configuration. Fields carry what the sources set, with the defaults of the
// key table filled in; a zero field was not set.
type Config struct {
	SSHAuthorizedKeys []string `yaml:"ssh_authorized_keys,omitempty"` // OpenSSH lines, github:USER, gitlab:USER, launchpad:USER, https URLs
	WriteFiles        []File   `yaml:"write_files,omitempty"`
	Hostname          string   `yaml:"hostname,omitempty"`
	InitCmd           []string `yaml:"init_cmd,omitempty"` // each sh -c ITEM, in order
	BootCmd           []string `yaml:"boot_cmd,omitempty"`
	RunCmd            []string `yaml:"run_cmd,omitempty"`
	K3OS              K3OS     `yaml:"k3os,omitempty"`

	Network    Network            `yaml:"network,omitempty"`
	Storage    Storage            `yaml:"storage,omitempty"`
	Router     Router             `yaml:"router,omitempty"`
	Monitoring Monitoring         `yaml:"monitoring,omitempty"`
	Upgrade    Upgrade            `yaml:"upgrade,omitempty"`
	Services   map[string]Service `yaml:"services,omitempty"`
	Addons     map[string]Addon   `yaml:"addons,omitempty"`
	Time       Time               `yaml:"time,omitempty"`
	Memory     Memory             `yaml:"memory,omitempty"`
	Data       Data               `yaml:"data,omitempty"`
	Backup     Backup             `yaml:"backup,omitempty"`
	Shelf      Shelf              `yaml:"shelf,omitempty"`

	where  map[string]place // key path with indexes -> where its value is; nil for a Config made by hand
	unseen map[string]bool  // names of the layers that nobody edits: nothing is missing "there"
}

// File is an item of write_files.
type File struct {
	Path        string `yaml:"path,omitempty"`
	Content     string `yaml:"content,omitempty"`     // as written; Data decodes it
	Encoding    string `yaml:"encoding,omitempty"`    // "", b64, base64, gz, gzip, gz+b64, gz+base64, gzip+b64, gzip+base64
	Owner       string `yaml:"owner,omitempty"`       // as chown takes it; empty means root
	Permissions string `yaml:"permissions,omitempty"` // octal digits, "0644"
	Append      bool   `yaml:"append,omitempty"`      // after what is in the file, unless it is there already
}

// K3OS is the section k3OS knew.
type K3OS struct {
	DataSources    []string          `yaml:"data_sources,omitempty"`
	Modules        []string          `yaml:"modules,omitempty"` // "name param=value ..."
	Sysctls        map[string]string `yaml:"sysctls,omitempty"`
	NTPServers     []string          `yaml:"ntp_servers,omitempty"`     // used when DHCP gives none
	DNSNameservers []string          `yaml:"dns_nameservers,omitempty"` // used when DHCP gives none
	WiFi           []WiFi            `yaml:"wifi,omitempty"`            // see Config.AllWiFi
	Password       string            `yaml:"password,omitempty"`        // crypt(5) hash, or clear text before import
	ServerURL      string            `yaml:"server_url,omitempty"`
	Token          string            `yaml:"token,omitempty"`
	Labels         map[string]string `yaml:"labels,omitempty"`
	Taints         []string          `yaml:"taints,omitempty"`   // key=value:Effect
	K3sArgs        []string          `yaml:"k3s_args,omitempty"` // the role first, as k3OS had it, or only arguments
	Environment    map[string]string `yaml:"environment,omitempty"`
	Install        Install           `yaml:"install,omitempty"`
}

// Install is k3OS's installer section. It is read so that an old file is understood; imgbuild
// writes images instead.
type Install struct {
	ForceEFI  bool   `yaml:"force_efi,omitempty"`
	Device    string `yaml:"device,omitempty"`
	ConfigURL string `yaml:"config_url,omitempty"`
	Silent    bool   `yaml:"silent,omitempty"`
	ISOURL    string `yaml:"iso_url,omitempty"`
	PowerOff  bool   `yaml:"power_off,omitempty"`
	NoFormat  bool   `yaml:"no_format,omitempty"`
	Debug     bool   `yaml:"debug,omitempty"`
	TTY       string `yaml:"tty,omitempty"`
}

// Network is the section network.
type Network struct {
	Interfaces []Interface `yaml:"interfaces,omitempty"`
	Country    string      `yaml:"country,omitempty"` // ISO 3166, "DE"; Wi-Fi needs it
	WiFi       []WiFi      `yaml:"wifi,omitempty"`    // see Config.AllWiFi
	VLANs      []VLAN      `yaml:"vlans,omitempty"`
	Bridges    []Bridge    `yaml:"bridges,omitempty"`
	Bonds      []Bond      `yaml:"bonds,omitempty"`
	DNS        []string    `yaml:"dns,omitempty"` // before what DHCP gives
	Search     []string    `yaml:"search,omitempty"`
	MDNS       bool        `yaml:"mdns"` // the node answers to HOSTNAME.local and announces its services
}

// Interface is one wired or wireless interface. It is found by MAC if set, else by name; "auto" is
// the first wired interface with a link.
type Interface struct {
	Name      string   `yaml:"name,omitempty"` // kernel name, or "auto"
	MAC       string   `yaml:"mac,omitempty"`  // lower case, colons
	DHCP      bool     `yaml:"dhcp"`           // set by Merge: true unless addresses are given or the file has false
	Addresses []string `yaml:"addresses,omitempty"`
	DHCP6     string   `yaml:"dhcp6,omitempty"` // "true": also without a router that asks for it; "false": never; "": by router advertisements
	Gateway   string   `yaml:"gateway,omitempty"`
	Gateway6  string   `yaml:"gateway6,omitempty"` // of the other family, or a second one
	DNS       []string `yaml:"dns,omitempty"`
	Search    []string `yaml:"search,omitempty"`
	Routes    []Route  `yaml:"routes,omitempty"`
	MTU       int      `yaml:"mtu,omitempty"`
	Metric    int      `yaml:"metric,omitempty"`
	Optional  bool     `yaml:"optional,omitempty"` // the boot does not wait for it

	// Offers for this network that are not taken.
	IgnoreRoutes bool `yaml:"ignore_routes,omitempty"` // of DHCP and of routers
	IgnoreDNS    bool `yaml:"ignore_dns,omitempty"`    // of DHCP and of routers, search domains included
	IgnoreRA     bool `yaml:"ignore_ra,omitempty"`     // router advertisements as a whole
}

// Route is a static route of an interface.
type Route struct {
	To     string `yaml:"to,omitempty"` // prefix, or "default"
	Via    string `yaml:"via,omitempty"`
	Metric int    `yaml:"metric,omitempty"`
}

// VLAN is a tagged network on an interface.
type VLAN struct {
	Name   string `yaml:"name,omitempty"`   // set by Merge: PARENT.ID where the file has none
	Parent string `yaml:"parent,omitempty"` // kernel name or hardware address
	ID     int    `yaml:"id,omitempty"`     // 1 to 4094
}

// Bridge connects interfaces.
type Bridge struct {
	Name  string   `yaml:"name,omitempty"`
	Ports []string `yaml:"ports,omitempty"` // kernel names or hardware addresses
}

// Bond makes one interface of several.
type Bond struct {
	Name  string   `yaml:"name,omitempty"`
	Ports []string `yaml:"ports,omitempty"`
	Mode  string   `yaml:"mode,omitempty"` // the kernel's name of it
}

// WiFi is one wireless network.
type WiFi struct {
	Name       string `yaml:"name,omitempty"`       // the SSID
	Passphrase string `yaml:"passphrase,omitempty"` // 8 to 63 characters, or 64 hex digits; empty means an open network
	Hidden     bool   `yaml:"hidden,omitempty"`
	Priority   int    `yaml:"priority,omitempty"` // higher is tried first

	// refused is why the network is not joined, for what Usable cannot see: its item has a key
	// that nobody knows, or its passphrase was blanked and is lost. An open network is one whose
	// item names no passphrase.
	refused string
}

// Monitoring is the section monitoring.
type Monitoring struct {
	Enabled bool   `yaml:"enabled"`
	Listen  string `yaml:"listen,omitempty"` // address:port of node-exporter
}

// Service is a unit that the init supervises, as the section services describes it.
type Service struct {
	Enabled     bool              `yaml:"enabled"`
	Command     []string          `yaml:"command,omitempty"`
	User        string            `yaml:"user,omitempty"`
	Directory   string            `yaml:"directory,omitempty"`
	Environment map[string]string `yaml:"environment,omitempty"`
	Needs       []string          `yaml:"needs,omitempty"` // names of units that must be ready first
	Ready       Ready             `yaml:"ready,omitempty"`
	Restart     string            `yaml:"restart,omitempty"` // always, on-failure, never
	Backoff     time.Duration     `yaml:"backoff,omitempty"`
	Memory      int64             `yaml:"memory,omitempty"`      // memory.max in bytes; 0 means no limit
	MemoryHigh  int64             `yaml:"memory_high,omitempty"` // memory.high in bytes; 0 means no limit
	CPU         int               `yaml:"cpu,omitempty"`         // per cent of one core; 0 means no limit
	Pids        int               `yaml:"pids,omitempty"`        // pids.max
	StopSignal  string            `yaml:"stop_signal,omitempty"`
	StopTimeout time.Duration     `yaml:"stop_timeout,omitempty"`
	Confined    Confined          `yaml:"confined,omitempty"`
}

// Ready is how a service shows that it is up. At most one of Notify, TCP, File and Command is
// set; none means that running is enough.
type Ready struct {
	Notify  bool          `yaml:"notify,omitempty"` // READY=1 on NOTIFY_SOCKET
	TCP     string        `yaml:"tcp,omitempty"`    // host:port that accepts
	File    string        `yaml:"file,omitempty"`   // path that exists
	Command []string      `yaml:"command,omitempty"`
	Timeout time.Duration `yaml:"timeout,omitempty"`
}

// Addon is an entry of the section addons: a Helm chart, settings for an add-on that k3s brings, or
// plain objects.
type Addon struct {
	Enabled   bool           `yaml:"enabled"`
	Chart     string         `yaml:"chart,omitempty"`
	Repo      string         `yaml:"repo,omitempty"`
	Version   string         `yaml:"version,omitempty"`
	Namespace string         `yaml:"namespace,omitempty"`
	Values    map[string]any `yaml:"values,omitempty"`
	Objects   string         `yaml:"objects,omitempty"` // YAML documents
}

// Time is the section time.
type Time struct {
	Servers []string      `yaml:"servers,omitempty"` // before what DHCP gives
	Zone    string        `yaml:"zone,omitempty"`    // IANA name, "Europe/Berlin"
	Wait    time.Duration `yaml:"wait,omitempty"`    // how long k3s and TLS users wait for the right time
}

// Memory is the section memory.
type Memory struct {
	Zram string `yaml:"zram,omitempty"` // bytes in decimal, "auto" or "off"
	Swap string `yaml:"swap,omitempty"` // refused, except for what means off
}

// Data is the section data.
type Data struct {
	Device string `yaml:"device,omitempty"` // /dev/..., UUID=..., LABEL=..., PARTUUID=...
}

// Backup is the section backup.
type Backup struct {
	To      string `yaml:"to,omitempty"` // nfs:// or sftp:// URL
	Keep    int    `yaml:"keep,omitempty"`
	HostKey string `yaml:"host_key,omitempty"` // a line of an OpenSSH .pub file
}

// Upgrade is the section upgrade.
type Upgrade struct {
	Keys     []string `yaml:"keys,omitempty"`     // minisign public keys, "RW..."
	Deadline int      `yaml:"deadline,omitempty"` // seconds that a trial has; 0: as the new system requires
	Auto     bool     `yaml:"auto,omitempty"`
	Channel  string   `yaml:"channel,omitempty"` // URL of the signed file that names the version
	Source   string   `yaml:"source,omitempty"`  // URL of the directory of bundles; empty: the channel's
	Window   string   `yaml:"window,omitempty"`  // see package window; empty: window.Default
	Lock     string   `yaml:"lock,omitempty"`    // cluster or none; empty: cluster where there is one
}

// Shelf is the section shelf: what this node is. The image brings it; the user's file may change
// the role.
type Shelf struct {
	Role  string `yaml:"role,omitempty"`
	Board string `yaml:"board,omitempty"`

	SSHHostKey   string `yaml:"ssh_host_key,omitempty"`  // a private key in PEM
	NodePassword string `yaml:"node_password,omitempty"` // of k3s
}
