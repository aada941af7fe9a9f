package config

var storageRole = []string{"storage"}

// storageRows are the section of a storage node.
var storageRows = []Key{
	{Path: "storage", Type: Section, Phase: AtRun, Roles: storageRole, Doc: "Disks, users and shares of a storage node; see docs/storage.md."},
	{Path: "storage.disks", Type: Items, Phase: AtRun, Roles: storageRole, Doc: "The disks that hold the shares. A disk that was taken into use once is the only one that the node accepts from then on. The first one also keeps what belongs to the data: Samba's identity and the state of NFS."},
	{Path: "storage.disks.name", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "Its name on this node; it is mounted at /srv/NAME.", Default: "data", Example: "media"},
	{Path: "storage.disks.device", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "Which disk: LABEL=, UUID=, SERIAL=, the name below /dev/disk/by-id/, or `auto` for the only disk with btrfs or ext4. `auto` never formats.", Default: "auto", Example: "LABEL=media"},
	{Path: "storage.disks.format", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "Make a btrfs file system on it if it is blank, once. The disk must be named by SERIAL= or by-id.", Default: "false", Example: "false"},
	{Path: "storage.disks.compress", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "How btrfs compresses what is written.", Default: "none", Values: []string{"none", "zstd", "lzo", "zlib"}, Example: "zstd"},
	{Path: "storage.disks.quotas", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "How btrfs counts for storage.shares.quota. `full` counts what each share holds and makes every write and each snapshot slower. `simple` costs nearly nothing, counts only what is written from then on, and leaves a mark on the disk for ever that Linux before 6.7 refuses.", Default: "full", Values: []string{"full", "simple"}, Example: "simple"},
	{Path: "storage.disks.spindown", Type: Text, Form: Duration, Phase: AtRun, Roles: storageRole, Doc: "Stop a rotating disk after so long without a request; at least 5m.", Unset: "it always turns", Example: "20m"},
	{Path: "storage.raw", Type: Texts, Phase: AtRun, Roles: storageRole, Doc: "Disks for another program, such as Rook, by SERIAL= or by-id: never mounted and never formatted.", Example: "[SERIAL=WD-1234]"},

	{Path: "storage.users", Type: Named, Phase: AtRun, Roles: storageRole, Doc: "The users of the shares, by name. They cannot log in to the node. A later source adds users, and replaces one of the same name."},
	{Path: "storage.users.uid", Type: Int, Min: 1000, Max: 60000, Phase: AtRun, Roles: storageRole, Doc: "The number that owns the user's files, on the disk and for NFS clients.", Example: "1500"},
	{Path: "storage.users.gid", Type: Int, Min: 1000, Max: 60000, Phase: AtRun, Roles: storageRole, Doc: "The number of the user's own group.", Unset: "the uid", Example: "1501"},
	{Path: "storage.users.password_hash", Type: Text, Secret: true, Phase: AtRun, Roles: storageRole, Doc: "The password for FTP as a crypt(5) hash; `imgbuild passwd` prints it.", Unset: "no login by FTP", Example: "'$6$0123456789abcdef$xDR267KnEdmU47Tv58n3gNdiOagKeAfIkcMyR6onqwUh3VWY6KqolWZcf8h/S6vI3O1EuVVODhFyX8F.iTNDA0'"},
	{Path: "storage.users.smb_nt_hash", Type: Text, Secret: true, Phase: AtRun, Roles: storageRole, Doc: "The password for SMB as an NT hash, 32 hex digits; `imgbuild passwd` prints it. It is as good as the password.", Unset: "no login by SMB", Example: "8846F7EAEE8FB117AD06BDD830B7586C"},

	{Path: "storage.shares", Type: Named, Phase: AtRun, Roles: storageRole, Doc: "What is shared, by the name that clients see. A later source adds shares, and replaces one of the same name."},
	{Path: "storage.shares.disk", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "The name of its disk.", Unset: "the first one", Example: "media"},
	{Path: "storage.shares.path", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "Its directory on the disk. One that is missing is made, as a subvolume on btrfs.", Unset: "the share's name", Example: "video/films"},
	{Path: "storage.shares.read", Type: Texts, Form: Hosts, Phase: AtRun, Roles: storageRole, Doc: "Users who may read; `*` for every user. Those who write may read as well.", Example: "[bob]"},
	{Path: "storage.shares.write", Type: Texts, Form: Hosts, Phase: AtRun, Roles: storageRole, Doc: "Users who may write; `*` for every user. Without any, NFS clients can only read too.", Example: "[weather]"},
	{Path: "storage.shares.via", Type: Texts, Form: Hosts, Phase: AtRun, Roles: storageRole, Doc: "How it is served: nfs, smb, ftp. Only what some share names is started.", Example: "[nfs, smb, ftp]"},
	{Path: "storage.shares.networks", Type: Texts, Form: Hosts, Phase: AtRun, Roles: storageRole, Doc: "Addresses and networks that may mount it by NFS. NFS asks for no password and trusts the user numbers of its clients.", Example: "[192.168.1.0/24]"},
	{Path: "storage.shares.nfs_as", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "A user whose files all NFS clients read and write, whatever user they claim to be.", Unset: "the numbers that clients send, except root, which becomes nobody", Example: "weather"},
	{Path: "storage.shares.nfs_root", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "Root of an NFS client is root here too.", Default: "false", Example: "true"},
	{Path: "storage.shares.guest", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "Anybody may read it by SMB, without a password.", Default: "false", Example: "true"},
	{Path: "storage.shares.recycle", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "What is deleted by SMB goes to a directory .recycle of the share.", Default: "false", Example: "true"},
	{Path: "storage.shares.time_machine", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "Offer it by SMB as a target for Time Machine.", Default: "false", Example: "true"},
	{Path: "storage.shares.snapshots", Type: Texts, Phase: AtRun, Roles: storageRole, Doc: "Snapshots to keep: so many hourly, daily, weekly or monthly ones. One is made in each of the shortest of these periods in which something was written. The share must be a btrfs subvolume, as those that the node makes are.", Example: "[24 hourly, 7 daily, 6 monthly]"},
	{Path: "storage.shares.quota", Type: Text, Form: Size, Phase: AtRun, Roles: storageRole, Doc: "The most that it may hold: in bytes, or with K, M, G or T. The share must be a btrfs subvolume. Snapshots do not count.", Unset: "no limit", Example: "500G"},

	{Path: "storage.nfs", Type: Section, Phase: AtRun, Roles: storageRole, Doc: "The NFS server."},
	{Path: "storage.nfs.threads", Type: Int, Min: 1, Max: 256, Phase: AtRun, Roles: storageRole, Doc: "Requests that are worked on at a time.", Default: "8", Example: "16"},
	{Path: "storage.nfs.grace", Type: Text, Form: Duration, Phase: AtRun, Roles: storageRole, Doc: "How long after a start clients that were there before may take back their locks, and how long a client that is gone keeps its own; 10 to 120 seconds.", Default: "30s", Example: "60s"},
	{Path: "storage.nfs.v3", Type: Bool, Phase: AtRun, Roles: storageRole, Doc: "Serve NFS 3 too, for old clients: rpcbind on port 111, mountd on 20048, statd on 32765 and lockd on 32803, each by TCP and UDP.", Default: "false", Example: "true"},
	{Path: "storage.smb", Type: Section, Phase: AtRun, Roles: storageRole, Doc: "The SMB server."},
	{Path: "storage.smb.workgroup", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "The workgroup.", Default: "WORKGROUP", Example: "SHELF"},
	{Path: "storage.ftp", Type: Section, Phase: AtRun, Roles: storageRole, Doc: "The FTP server."},
	{Path: "storage.ftp.tls", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "Whether a client has to encrypt. `optional` is for old devices: their passwords cross the network readable.", Default: "required", Values: []string{"required", "optional", "off"}, Example: "optional"},
	{Path: "storage.ftp.ports", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "The ports for data, first and last.", Default: "30000-30009", Example: "31000-31019"},

	{Path: "storage.backup", Type: Section, Phase: AtRun, Roles: storageRole, Doc: "Backups of shares to disks that `sudo shelf backup enroll` has made known; see docs/backup.md."},
	{Path: "storage.backup.shares", Type: Texts, Phase: AtRun, Roles: storageRole, Doc: "The shares to back up. They must be btrfs subvolumes, as those that the node makes are.", Unset: "every share that can be", Example: "[weather]"},
	{Path: "storage.backup.keep", Type: Texts, Phase: AtRun, Roles: storageRole, Doc: "Backups to keep on each disk: so many hourly, daily, weekly or monthly ones.", Unset: "[14 daily, 8 weekly, 12 monthly]", Example: "[30 daily, 24 monthly]"},
	{Path: "storage.backup.to", Type: Named, Phase: AtRun, Roles: storageRole, Doc: "Servers that get a backup once a day, encrypted so that neither they nor this node can read it. A later source adds some, and replaces one of the same name."},
	{Path: "storage.backup.to.url", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "Where to, an sftp:// URL. `sudo shelf backup key` prints the key to allow there.", Example: "'sftp://backup@nas/shelf'"},
	{Path: "storage.backup.to.host_key", Type: Text, Phase: AtRun, Roles: storageRole, Doc: "The server's public key, as in its /etc/ssh/ssh_host_ed25519_key.pub.", Unset: "the key that it shows at the first contact is kept", Example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN"},
	{Path: "storage.backup.to.recipients", Type: Texts, Phase: AtRun, Roles: storageRole, Doc: "Who can read the backups: age recipients; `imgbuild keygen backup` makes one, and keeps its secret half on your machine.", Example: "[age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]"},
	{Path: "storage.backup.to.signing_key", Type: Text, Secret: true, Phase: AtRun, Roles: storageRole, Doc: "The key that signs what is written there; `imgbuild keygen backup` prints it. It reads nothing.", Example: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
}
