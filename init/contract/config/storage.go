package config

import "time"

// Storage is the section storage.
type Storage struct {
	Disks  []StorageDisk          `yaml:"disks,omitempty"`
	Raw    []string               `yaml:"raw,omitempty"` // SERIAL=... or /dev/disk/by-id/...
	Users  map[string]StorageUser `yaml:"users,omitempty"`
	Shares map[string]Share       `yaml:"shares,omitempty"`
	NFS    StorageNFS             `yaml:"nfs,omitempty"`
	SMB    StorageSMB             `yaml:"smb,omitempty"`
	FTP    StorageFTP             `yaml:"ftp,omitempty"`
	Backup StorageBackup          `yaml:"backup,omitempty"`
}

// StorageDisk is a disk for shares.
type StorageDisk struct {
	Name     string `yaml:"name,omitempty"`
	Device   string `yaml:"device,omitempty"` // auto, LABEL=, UUID=, SERIAL=, /dev/disk/by-id/...
	Format   bool   `yaml:"format,omitempty"`
	Compress string `yaml:"compress,omitempty"` // none, zstd, lzo, zlib
	Quotas   string `yaml:"quotas,omitempty"`   // full, simple

	Spindown time.Duration `yaml:"spindown,omitempty"` // 0: never
}

// StorageUser is a user of shares that cannot log in.
type StorageUser struct {
	UID          int    `yaml:"uid,omitempty"`
	GID          int    `yaml:"gid,omitempty"`           // 0: the UID
	PasswordHash string `yaml:"password_hash,omitempty"` // crypt(5)
	SMBNTHash    string `yaml:"smb_nt_hash,omitempty"`   // 32 hex digits
}

// Group is the number of the user's own group.
func (u StorageUser) Group() int {
	if u.GID != 0 {
		return u.GID
	}
	return u.UID
}

// Share is a directory that is served.
type Share struct {
	Disk        string   `yaml:"disk,omitempty"` // name of a StorageDisk; empty: the first
	Path        string   `yaml:"path,omitempty"` // below the disk's root; empty: the share's name
	Read        []string `yaml:"read,omitempty"` // users, or *
	Write       []string `yaml:"write,omitempty"`
	Via         []string `yaml:"via,omitempty"`      // nfs, smb, ftp
	Networks    []string `yaml:"networks,omitempty"` // of NFS clients
	NFSAs       string   `yaml:"nfs_as,omitempty"`
	NFSRoot     bool     `yaml:"nfs_root,omitempty"`
	Guest       bool     `yaml:"guest,omitempty"`
	Recycle     bool     `yaml:"recycle,omitempty"`
	TimeMachine bool     `yaml:"time_machine,omitempty"`
	Snapshots   []string `yaml:"snapshots,omitempty"` // such as 24 hourly
	Quota       int64    `yaml:"quota,omitempty"`     // bytes; 0: no limit
}

// StorageNFS is the section storage.nfs.
type StorageNFS struct {
	Threads int           `yaml:"threads,omitempty"`
	Grace   time.Duration `yaml:"grace,omitempty"`
	V3      bool          `yaml:"v3,omitempty"`
}

// StorageSMB is the section storage.smb.
type StorageSMB struct {
	Workgroup string `yaml:"workgroup,omitempty"`
}

// StorageFTP is the section storage.ftp.
type StorageFTP struct {
	TLS   string `yaml:"tls,omitempty"`   // required, optional, off
	Ports string `yaml:"ports,omitempty"` // FIRST-LAST
}

// StorageBackup is the section storage.backup.
type StorageBackup struct {
	Shares []string `yaml:"shares,omitempty"` // empty: all of them
	Keep   []string `yaml:"keep,omitempty"`   // such as 7 daily

	To map[string]BackupPlace `yaml:"to,omitempty"`
}

// BackupPlace is a server that keeps encrypted backups.
type BackupPlace struct {
	URL        string   `yaml:"url,omitempty"`      // sftp://USER@HOST[:PORT]/DIR
	HostKey    string   `yaml:"host_key,omitempty"` // a line of an OpenSSH .pub file
	Recipients []string `yaml:"recipients,omitempty"`
	SigningKey string   `yaml:"signing_key,omitempty"` // 32 bytes in base64
}

// Servers are the names of To, sorted.
func (b StorageBackup) Servers() []string { return sortedNames(b.To) }
