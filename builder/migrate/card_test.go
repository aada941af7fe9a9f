package migrate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/mbr"
	"imgbuild/qemu/tool"

	"golang.org/x/crypto/ssh"
)

// e2 runs a program of e2fsprogs.
func e2(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd, err := tool.Command(context.Background(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// files are what is on a card: paths below the partition's root; a value that begins with "-> "
// is a link.
type files map[string]string

func with(base files, more files) files {
	out := files{}
	for _, m := range []files{base, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func hostKey(t testing.TB) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

const id = "0123456789abcdef0123456789abcdef"

// muslProgram is the beginning of a program as Alpine has it.
func muslProgram() string {
	b := make([]byte, 200)
	copy(b, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(b[0x10:], 3)
	le.PutUint16(b[0x12:], 183)
	le.PutUint32(b[0x14:], 1)
	le.PutUint64(b[0x20:], 64)
	le.PutUint64(b[0x28:], 1<<20) // the section table, far away
	le.PutUint16(b[0x34:], 64)
	le.PutUint16(b[0x36:], 56)
	le.PutUint16(b[0x38:], 1)
	le.PutUint16(b[0x3A:], 64)
	le.PutUint16(b[0x3C:], 20)
	le.PutUint16(b[0x3E:], 19)
	le.PutUint32(b[64:], 3) // PT_INTERP
	le.PutUint64(b[64+8:], 120)
	loader := "/lib/ld-musl-aarch64.so.1\x00"
	le.PutUint64(b[64+32:], uint64(len(loader)))
	copy(b[120:], loader)
	return string(b)
}

// server is a k3OS node that has run for a while.
func server(t testing.TB) files {
	return files{
		"k3os/system/config.yaml":                                                               "hostname: pi-server\nssh_authorized_keys: [github:someone]\nk3os: {k3s_args: [server, --disable=traefik], token: geheim, labels: {region: eu}}\n",
		"k3os/system/k3s/v1.34.2-k3s1/k3s":                                                      "binary",
		"k3os/system/k3s/current":                                                               "-> v1.34.2-k3s1",
		"k3os/system/k3os/current/k3os":                                                         "squashfs",
		"k3os/data/var/lib/rancher/k3os/hostname":                                               "k3os-12345\n",
		"k3os/data/var/lib/rancher/k3os/node/password":                                          "node-password",
		"k3os/data/var/lib/rancher/k3os/node/id":                                                "8a7f",
		"k3os/data/var/lib/rancher/k3os/config.yaml":                                            "k3os: {labels: {local: 'yes'}}\n",
		"k3os/data/var/lib/rancher/k3os/config.d/x.txt":                                         "run_cmd: [echo hi]\n",
		"k3os/data/var/lib/rancher/k3os/ssh/ssh_host_ed25519_key":                               hostKey(t),
		"k3os/data/var/lib/rancher/k3os/ssh/ssh_host_dsa_key":                                   "dsa",
		"k3os/data/var/lib/rancher/k3os/ssh/sshd_config":                                        "PermitRootLogin yes\n",
		"k3os/data/var/lib/dbus/machine-id":                                                     id + "\n",
		"k3os/data/var/lib/connman/eth.config":                                                  "[service_eth]\nType = ethernet\nIPv4 = 192.168.7.5/255.255.255.0/192.168.7.1\nNameservers = 192.168.7.1,9.9.9.9\nSearchDomains = lan\n",
		"k3os/data/var/lib/connman/settings":                                                    "[global]\nOfflineMode=false\n",
		"k3os/data/var/lib/connman/wifi_dca632010203_686f6d65_managed_psk/settings":             "[wifi_dca632010203_686f6d65_managed_psk]\nName=home\nSSID=686f6d65\nPassphrase=correct horse\nIPv4.method=dhcp\n",
		"k3os/data/var/lib/rancher/k3s/server/db/state.db":                                      strings.Repeat("rows ", 100000),
		"k3os/data/var/lib/rancher/k3s/server/db/state.db-wal":                                  "wal",
		"k3os/data/var/lib/rancher/k3s/server/tls/server-ca.key":                                "ca",
		"k3os/data/var/lib/rancher/k3s/server/token":                                            "K10geheim",
		"k3os/data/var/lib/rancher/k3s/server/manifests/mine.yaml":                              "kind: X\n",
		"k3os/data/var/lib/rancher/k3s/server/manifests/system-upgrade-controller.yaml":         "kind: Y\n",
		"k3os/data/var/lib/rancher/k3s/server/manifests/system-upgrade-plans/k3os-latest.yaml":  "kind: Plan\n",
		"k3os/data/var/lib/rancher/k3s/agent/client-ca.crt":                                     "ca",
		"k3os/data/var/lib/rancher/k3s/agent/containerd/io.containerd.content.v1.content/blobs": "layers",
		"k3os/data/var/lib/rancher/k3s/data/" + strings.Repeat("ab", 32) + "/bin/k3s":           "old",
		"k3os/data/var/lib/rancher/k3s/storage/pvc-1_default_claim/file":                        "volume",
		"k3os/data/var/lib/rancher/k3s/storage/pvc-1_default_claim/link":                        "-> /etc/passwd",
		"k3os/data/var/lib/kubelet/pods/x":                                                      "pod",
		"k3os/data/var/lib/longhorn/replicas/x":                                                 "replica",
		"k3os/data/var/lib/mydb/rows":                                                           "host path",
		"k3os/data/var/log/messages":                                                            "log",
		"k3os/data/var/local/bin/tool":                                                          muslProgram(),
		"k3os/data/home/rancher/notes":                                                          "notes",
		"k3os/data/home/rancher/.ssh/authorized_keys":                                           "ssh-rsa OLD",
		"k3os/data/opt/x":     "x",
		"k3os/data/usr/bin/y": "y",
	}
}

// piclServer is the same node as picl arranged it: the configurations of all nodes, and an absolute
// link to its own.
func piclServer(t testing.TB) files {
	f := server(t)
	own := f["k3os/system/config.yaml"]
	return with(f, files{
		"k3os/system/config.yaml":                   "-> /k3os/system/config/dc:a6:32:01:02:03.yaml",
		"k3os/system/config/dc:a6:32:01:02:03.yaml": own,
		"k3os/system/config/dc:a6:32:ff:ff:ff.yaml": "hostname: other\nk3os: {token: ANOTHERS-TOKEN}\n",
		"sbin/init.preinit":                         "#!/bin/sh\n",
	})
}

// fileSystem makes an ext4 image of files; more are arguments of mke2fs, commands those of debugfs.
func fileSystem(t testing.TB, label string, f files, commands ...string) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for name, content := range f {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			mode := os.FileMode(0o600)
			if strings.HasPrefix(content, "\x7fELF") {
				mode = 0o755
			}
			err = os.WriteFile(path, []byte(content), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(dir, "part.img")
	e2(t, "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-d", tree, img, "24M")
	if len(commands) > 0 {
		script := filepath.Join(dir, "commands")
		if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		e2(t, "debugfs", "-w", "-f", script, img)
	}
	return img
}

// piclCard puts a file system on a card as picl has it: p1 FAT of 59 MB, p2.
func piclCard(t testing.TB, part string) string {
	t.Helper()
	content, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	const start = 8192 + 59<<11
	table := mbr.Table{Signature: 7, Partitions: [4]mbr.Partition{{Start: 8192, Sectors: 59 << 11, Type: 0x0C, Active: true}, {Start: start, Sectors: uint32(len(content) / 512), Type: 0x83}}}
	first, err := table.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(t.TempDir(), "card.img")
	f, err := os.Create(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt(first[:], 0)
	if _, err := f.WriteAt(content, start*512); err != nil {
		t.Fatal(err)
	}
	return img
}

// gptCard puts a file system on a disk with a GPT; damaged spoils the first header.
func gptCard(t testing.TB, part string, damaged bool) string {
	t.Helper()
	content, err := os.ReadFile(part)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	sectors := 4096 + len(content)/512 + 2048
	disk := make([]byte, sectors*512)
	copy(disk[4096*512:], content)
	disk[446+4], disk[510], disk[511] = 0xEE, 0x55, 0xAA
	le.PutUint32(disk[446+8:], 1)
	le.PutUint32(disk[446+12:], uint32(sectors-1))
	entries := make([]byte, 128*128)
	copy(entries[128:], "type............unique..........")
	le.PutUint64(entries[128+32:], 4096)
	le.PutUint64(entries[128+40:], uint64(4096+len(content)/512-1))
	put := func(at, list int) {
		copy(disk[list*512:], entries)
		h := disk[at*512:][:512]
		copy(h, "EFI PART\x00\x00\x01\x00")
		le.PutUint32(h[12:], 92)
		le.PutUint64(h[72:], uint64(list))
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	}
	put(1, 2)
	put(sectors-1, sectors-33)
	if damaged {
		disk[512+40] ^= 1
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return img
}

func spoil(t testing.TB, img string, what string) string {
	t.Helper()
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(data, []byte(what))
	if at < 0 {
		t.Fatalf("no %q in the image", what)
	}
	data[at] ^= 1
	out := filepath.Join(t.TempDir(), "spoilt.img")
	if err := os.WriteFile(out, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
