package config

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// crypted is a real crypt(5) hash.
const crypted = "$6$0123456789abcdef$xDR267KnEdmU47Tv58n3gNdiOagKeAfIkcMyR6onqwUh3VWY6KqolWZcf8h/S6vI3O1EuVVODhFyX8F.iTNDA0"

// storageOf reads a section storage.
func storageOf(t *testing.T, text string) (*Config, []Problem) {
	t.Helper()
	l, problems := Parse("f.yaml", []byte(text))
	c, more := Merge(l)
	return c, append(append(problems, more...), Check(c, Facts{Role: "storage"})...)
}

const goodStorage = `ssh_authorized_keys: [github:me]
storage:
  disks: [{device: LABEL=media}]
  users:
    ann: {uid: 1500, smb_nt_hash: 8846F7EAEE8FB117AD06BDD830B7586C, password_hash: '$6$0123456789abcdef$xDR267KnEdmU47Tv58n3gNdiOagKeAfIkcMyR6onqwUh3VWY6KqolWZcf8h/S6vI3O1EuVVODhFyX8F.iTNDA0'}
  shares:
    photos: {write: [ann], via: [nfs, smb, ftp], networks: [192.168.1.0/24]}
`

const (
	goodRecipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	goodSigner    = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// server is an entry of storage.backup.to, before the shares.
func server(url, recipient, key string) string {
	if recipient != "" {
		recipient = "'" + recipient + "'"
	}
	return "  backup: {to: {cloud: {url: '" + url + "', recipients: [" + recipient + "], signing_key: '" + key + "'}}}\n  shares:\n"
}

// Every value that cannot work is named with its line, and nothing else is.
func TestStorage(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"good", "", "", ""},
		{"two shares with one directory", "  shares:\n", "  shares:\n    films: {via: [smb], path: photos, read: ['*']}\n", "f.yaml:8:5: error: storage.shares.photos.path: it overlaps the share \"films\", which is data/photos"},
		{"a share in another", "  shares:\n", "  shares:\n    films: {via: [smb], path: photos/films, read: ['*']}\n", "it overlaps the share \"films\""},
		{"names that differ in case", "  shares:\n", "  shares:\n    Photos: {via: [smb], path: b, read: ['*']}\n", "SMB does not distinguish it from \"Photos\""},
		{"a quota", "via: [nfs, smb, ftp]", "quota: 500G, via: [nfs, smb, ftp]", ""},
		{"no quota", "via: [nfs, smb, ftp]", "quota: 1M, via: [nfs, smb, ftp]", "storage.shares.photos.quota: 1048576 bytes are too few; there is no limit"},
		{"a disk that stops", "device: LABEL=media", "device: LABEL=media, spindown: 20m", ""},
		{"a disk that stops too soon", "device: LABEL=media", "device: LABEL=media, spindown: 1m", "storage.disks[0].spindown: 1m0s is too short"},
		{"an unknown user", "write: [ann]", "write: [ann, bob]", "f.yaml:7:27: error: storage.shares.photos.write[1]: there is no user \"bob\""},
		{"a bad hash", crypted, "$6$cut", "is not a crypt(5) hash; the user is left out"},
		{"a bad NT hash", "8846F7EAEE8FB117AD06BDD830B7586C", "8846", "an NT hash has 32 hex digits"},
		{"no password for SMB", "smb_nt_hash: 8846F7EAEE8FB117AD06BDD830B7586C, ", "", "warning: storage.users.ann: the user may use the share \"photos\" and has no password for SMB"},
		{"a share outside any disk", "photos: {", "photos: {path: /home, ", "\"/home\" is not below a disk"},
		{"a share that leaves its disk", "photos: {", "photos: {path: a/../../b, ", "does not stay on its disk"},
		{"the whole disk", "photos: {", "photos: {path: ., ", "is the whole disk"},
		{"what belongs to the node", "photos: {", "photos: {path: .shelfos/samba, ", "belongs to the node"},
		{"an unknown disk", "photos: {", "photos: {disk: other, ", "there is no disk \"other\""},
		{"no way", "via: [nfs, smb, ftp], ", "", "the way it is served is missing"},
		{"an unknown way", "via: [nfs, ", "via: [afp, ", "\"afp\" is not a way to serve a share"},
		{"NFS for nobody", ", networks: [192.168.1.0/24]", "", "the networks that may mount it by NFS are missing"},
		{"no network", "192.168.1.0/24", "lan", "\"lan\" is neither an address nor a network"},
		{"formatting without a number", "LABEL=media}", "LABEL=media, format: yes}", "only a disk that is named by its serial number is formatted"},
		{"no disk", "LABEL=media", "sda", "\"sda\" names no disk"},
		{"a user of the system", "    ann:", "    rancher:", "the system has a user \"rancher\" of its own"},
		{"a uid of the system", "1500", "101", "101 is not a number from 1000 to 60000"},
		{"no uid", "uid: 1500, ", "", "the user has no uid"},
		{"ports", "  shares:\n", "  ftp: {ports: 21-22}\n  shares:\n", "\"21-22\" is not a range of ports"},
		{"grace", "  shares:\n", "  nfs: {grace: 1s}\n  shares:\n", "1s is too short or too long"},
		{"a backup", "  shares:\n", "  backup: {shares: [photos], keep: [7 daily, 5 monthly]}\n  shares:\n", ""},
		{"a backup of nothing", "  shares:\n", "  backup: {shares: [films]}\n  shares:\n", "error: storage.backup.shares[0]: there is no share \"films\""},
		{"a server", "  shares:\n", server("sftp://a@b/c", goodRecipient, goodSigner), ""},
		{"a server by ftp", "  shares:\n", server("ftp://a@b/c", goodRecipient, goodSigner), "storage.backup.to.cloud.url: this is not an sftp:// URL"},
		{"a server without a directory", "  shares:\n", server("sftp://a@b/", goodRecipient, goodSigner), "storage.backup.to.cloud.url: this is not an sftp:// URL"},
		{"a password in a URL", "  shares:\n", server("sftp://a:hunter22@b/c", goodRecipient, goodSigner), "the password in the URL is not used"},
		{"an ssh key as recipient", "  shares:\n", server("sftp://a@b/c", "ssh-ed25519 AAAA", goodSigner), "is not an age recipient"},
		{"nobody can read", "  shares:\n", server("sftp://a@b/c", "", goodSigner), "nobody could read the backups"},
		{"a cut signing key", "  shares:\n", server("sftp://a@b/c", goodRecipient, goodSigner[:20]), "this is not a signing key"},
		{"backups to keep", "  shares:\n", "  backup: {keep: [7 daily, 3 daily, few]}\n  shares:\n", "storage.backup.keep[2]: \"few\" is not a rule for snapshots; it is left out"},
		{"raw and used", "  users:\n", "  raw: [SERIAL=1]\n  users:\n", ""},
		{"raw by label", "  users:\n", "  raw: [LABEL=x]\n  users:\n", "does not name a disk by its serial number"},
	} {
		text := strings.ReplaceAll(goodStorage, c.old, c.new)
		if c.old == "" {
			text = goodStorage
		}
		_, problems := storageOf(t, text)
		var lines []string
		for _, p := range problems {
			lines = append(lines, p.String())
		}
		if got := strings.Join(lines, "\n"); c.want == "" && got != "" || c.want != "" && !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// Whatever is written: of the shares that have no fault no two overlap, each is on a disk that is
// there, and all of its users exist.
func TestStorageFaultsProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	some := func(list ...string) []string {
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:r.IntN(len(list)+1)]
	}
	served := 0
	for range 3000 {
		s := Storage{Users: map[string]StorageUser{}, Shares: map[string]Share{}, NFS: StorageNFS{Grace: time.Minute}}
		for range r.IntN(3) {
			s.Disks = append(s.Disks, StorageDisk{Name: pick("a", "b", "../c"), Device: pick("auto", "LABEL=x", "SERIAL=y", "sda"), Format: r.IntN(2) == 0})
		}
		for _, u := range some("ann", "bob", "root") {
			s.Users[u] = StorageUser{UID: 1000 + r.IntN(2), SMBNTHash: pick("", strings.Repeat("a", 32), "x")}
		}
		for _, n := range some("x", "X", "y", "global", "z") {
			s.Shares[n] = Share{Disk: pick("", "a", "b"), Path: pick("", "p", "p/q", "p/./q", "..", "/p", "pq", ".snapshots"), Write: some("ann", "bob", "*"), Via: some("nfs", "smb"), Networks: some("10.0.0.0/8", "10.0.0.1", "all")}
		}
		bad := map[string]bool{}
		for _, f := range s.Faults() {
			if f.Text == "" || f.Fix == "" || f.Path == "" {
				t.Fatalf("%+v has too few details", f)
			}
			bad[f.Kind+f.Name] = bad[f.Kind+f.Name] || !f.Weak
		}
		var places []string
		for name, sh := range s.Shares {
			if bad["share"+name] || len(s.Disks) == 0 {
				continue
			}
			served++
			disk, dir := s.Place(name)
			if !slices.ContainsFunc(s.Disks, func(d StorageDisk) bool { return d.Name == disk }) {
				t.Fatalf("%+v: %s is on no disk", s, name)
			}
			for _, u := range slices.Concat(sh.Read, sh.Write) {
				if _, ok := s.Users[u]; !ok && u != Everyone {
					t.Fatalf("%+v: %s knows %s", s, name, u)
				}
			}
			places = append(places, disk+"/"+dir+"/")
		}
		slices.Sort(places)
		for i := 1; i < len(places); i++ {
			if strings.HasPrefix(places[i], places[i-1]) {
				t.Fatalf("%+v: %s and %s overlap", s, places[i-1], places[i])
			}
		}
	}
	if served < 150 {
		t.Errorf("only %d shares were good, want 150", served)
	}
}

// Without rules that can be read backups are kept by those of the reference: never all, never none.
func TestBackupRules(t *testing.T) {
	usual := []SnapshotRule{{"daily", 14}, {"weekly", 8}, {"monthly", 12}}
	for _, c := range []struct {
		keep []string
		want []SnapshotRule
	}{
		{nil, usual}, {[]string{"many"}, usual}, {[]string{"3 daily", "x"}, []SnapshotRule{{"daily", 3}}},
	} {
		if got := (StorageBackup{Keep: c.keep}).Rules(); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.keep, got, c.want)
		}
	}
	key := ""
	for _, k := range Table() {
		if k.Path == "storage.backup.keep" {
			key = k.Unset
		}
	}
	if want := "[14 daily, 8 weekly, 12 monthly]"; key != want {
		t.Errorf("the reference has %q, want %q", key, want)
	}
}
