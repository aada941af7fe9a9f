// Package checks names what a role promises: the checks of health. The data of a role list them by
// name, the manifest of a slot carries the lists to the node, and package init/status/health
// evaluates them there. Names are stable across versions: an upgrade compares the results of the
// old and the new system by them.
package checks

import "fmt"

// The checks that there are.
const (
	Usr      = "usr"
	Data     = "data"
	Writable = "writable"
	Space    = "space"
	Address  = "address"
	SSHD     = "sshd"
	DataDisk = "data-disk"
	K3s      = "k3s"
	API      = "api"
	Kubelet  = "kubelet"
	Services = "services"

	StorageDisks = "storage-disks"
	StorageCare  = "storage-care"
	NFSD         = "nfsd"
	NFS          = "nfs"
	NFSLocks     = "nfs-locks"
	SMBD         = "smbd"
	SMB          = "smb"
	VSFTPD       = "vsftpd"
	FTP          = "ftp"

	Router = "router"
	Uplink = "uplink"

	Certificates = "certificates"
	Config       = "config"
)

// Check describes one check.
type Check struct {
	Name     string
	Means    string // what is true when it passes; continues "healthy when"
	Unit     string // the service that it is about; empty for those of the machine itself
	Probe    bool   // the service itself is asked, while its unit is ready
	Floor    bool   // a trial that fails it is given up whatever the state before the trial was
	Advisory bool   // it shows in the status and never fails a trial
}

// All lists every check, in the order in which results are shown.
var All = []Check{
	{Name: Usr, Means: "no block of /usr is damaged", Floor: true},
	{Name: Data, Means: "the data partition is in use", Floor: true},
	{Name: Writable, Means: "the kernel accepts writes for every file system", Floor: true},
	{Name: Space, Means: "no file system is full", Advisory: true},
	{Name: Config, Means: "the configuration is applied without an error that was not there before an upgrade", Floor: true},
	{Name: Address, Means: "an interface has an address", Floor: true},
	{Name: SSHD, Means: "sshd answers", Unit: "sshd", Floor: true},
	{Name: DataDisk, Means: "the disk of data.device, if any, is in use"},
	{Name: K3s, Means: "k3s has sent READY=1", Unit: "k3s"},
	{Name: API, Means: "/readyz of the API server answers 200", Unit: "k3s", Probe: true},
	{Name: Kubelet, Means: "/healthz of the kubelet answers 200", Unit: "k3s", Probe: true},
	{Name: Certificates, Means: "no certificate of k3s ends within 45 days", Advisory: true},
	{Name: StorageDisks, Means: "every disk of storage.disks is in use and can be written"},
	{Name: StorageCare, Means: "no disk of storage.disks reports errors, none is nearly full, and backups, if any, are not old", Advisory: true},
	{Name: NFSD, Means: "the NFS server runs, if a share is served by NFS", Unit: "nfsd"},
	{Name: NFS, Means: "the NFS server answers and looks every export up", Unit: "nfsd", Probe: true},
	{Name: NFSLocks, Means: "the NFS server waits for no client that was there before its start", Advisory: true},
	{Name: SMBD, Means: "the SMB server runs, if a share is served by SMB", Unit: "smbd"},
	{Name: SMB, Means: "the SMB server lets the probe account in", Unit: "smbd", Probe: true},
	{Name: VSFTPD, Means: "the FTP server runs, if a share is served by FTP", Unit: "vsftpd"},
	{Name: FTP, Means: "the FTP server encrypts and lets the probe account in", Unit: "vsftpd", Probe: true},
	{Name: Router, Means: "the router's service runs", Unit: "router"},
	{Name: Uplink, Means: "the uplink has a link and an address, and its gateway answers", Unit: "router", Probe: true},
	{Name: Services, Means: "no other service has failed", Advisory: true},
}

// Floor names the checks of the floor, in order.
func Floor() []string {
	var names []string
	for _, c := range All {
		if c.Floor {
			names = append(names, c.Name)
		}
	}
	return names
}

// Find returns a check by its name.
func Find(name string) (Check, bool) {
	for _, c := range All {
		if c.Name == name {
			return c, true
		}
	}
	return Check{}, false
}

// Valid reports a name of a list that is unknown or there twice.
func Valid(names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if _, ok := Find(name); !ok {
			return fmt.Errorf("there is no health check %q", name)
		}
		if seen[name] {
			return fmt.Errorf("the health check %s is listed twice", name)
		}
		seen[name] = true
	}
	return nil
}
