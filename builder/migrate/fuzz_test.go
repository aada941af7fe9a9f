package migrate

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/mbr"
)

// FuzzPartitions: whatever a disk begins with, the partitions that are found are on it.
func FuzzPartitions(f *testing.F) {
	part := f.TempDir() + "/part"
	if err := os.WriteFile(part, make([]byte, 64<<10), 0o600); err != nil {
		f.Fatal(err)
	}
	for _, img := range []string{gptCard(f, part, false), gptCard(f, part, true)} {
		data, err := os.ReadFile(img)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:64<<10])
	}
	table := mbr.Table{Signature: 7, Partitions: [4]mbr.Partition{{Start: 8, Sectors: 20, Type: 0x83}, {Start: 30, Sectors: 60, Type: extended}}}
	first, err := table.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	disk := append(first[:], make([]byte, 100*512)...)
	link := disk[30*512:]
	link[510], link[511], link[446+4], link[446+8], link[446+12] = 0x55, 0xAA, 0x83, 1, 5
	link[462+4] = extended // back to itself
	f.Add(disk)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := partitions(bytes.NewReader(data), int64(len(data)))
		for _, p := range list {
			if p.start < 0 || p.size < 0 || p.start+p.size > int64(len(data)) || len(list) > maxEntries {
				t.Fatalf("%+v of %d bytes", p, len(data))
			}
		}
	})
}

// FuzzConnman: what is made of connman's files is a configuration that the node reads without a
// complaint about its form.
func FuzzConnman(f *testing.F) {
	f.Add("eth.config", "[service_eth]\nType = ethernet\nIPv4 = 192.168.7.5/255.255.255.0/192.168.7.1\nIPv6 = fd00::5/64/fd00::1\nNameservers = 1.1.1.1,8.8.8.8\nMAC=dc:a6:32:01:02:03\n")
	f.Add("x.config", "[service_a]\nType=wifi\nName=a: b\nPassphrase=\"'#\n[service_b]\nIPv4=1/2/3\nDeviceName=eth1\n")
	f.Add("wifi_dca632010203_686f6d65_managed_psk/settings", "[wifi_dca632010203_686f6d65_managed_psk]\nSSID=686f6d65\nIPv4.method=manual\nIPv4.local_address=10.0.0.9\nIPv4.netmask_prefixlen=8\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		var n config.Connman
		n.Add(name, text)
		data, err := connmanYAML(&n)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range n.Interfaces {
			for _, a := range i.Addresses {
				if _, err := netip.ParsePrefix(a); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !utf8.Valid(data) || data == nil {
			return
		}
		l, problems := config.Parse("connman", data)
		for _, p := range problems {
			if p.Fatal {
				t.Fatalf("%s\n%s", p, data)
			}
		}
		c, _ := config.Merge(l)
		if len(c.Network.WiFi) > len(n.WiFi) || len(c.Network.Interfaces) > len(n.Interfaces) {
			t.Fatalf("%+v of %+v", c.Network, n.Network)
		}
	})
}

func TestConnman(t *testing.T) {
	var n config.Connman
	n.Add("a.config", "[global]\nName=x\n\n[service_1]\nType=wifi\nName=one\nPassphrase=p=q\nHidden=true\n[service_2]\nType=wifi\nName=two\nEAP=peap\nIdentity=me\n"+
		"[service_3]\nType=ethernet\nMAC=DC:A6:32:01:02:03\nIPv4=10.0.0.2/24/10.0.0.1\nIPv6=fd00::2/64\n[service_4]\nIPv4=10.0.0.3/255.0.255.0/\n[service_5]\nIPv4=dhcp\n")
	n.Add("ethernet_dca632010203_cable/settings", "[ethernet_dca632010203_cable]\nIPv4.method=manual\nIPv4.local_address=10.0.0.7\nIPv4.netmask_prefixlen=24\n")
	n.Add("settings", "[global]\nOfflineMode=false\n[Wired]\nEnable=true\n")
	if len(n.WiFi) != 1 || n.WiFi[0] != (config.WiFi{Name: "one", Passphrase: "p=q", Hidden: true}) {
		t.Errorf("wifi %+v", n.WiFi)
	}
	if i := n.Interfaces; len(i) != 1 || i[0].MAC != "dc:a6:32:01:02:03" || !slices.Equal(i[0].Addresses, []string{"10.0.0.2/24", "fd00::2/64"}) || i[0].Gateway != "10.0.0.1" {
		t.Errorf("interfaces %+v", i)
	}
	if notes := strings.Join(n.Notes, "\n"); len(n.Notes) != 3 || !strings.Contains(notes, "user name") || !strings.Contains(notes, "255.0.255.0") || !strings.Contains(notes, "already") {
		t.Errorf("notes %q", n.Notes)
	}
	without(&n, []config.WiFi{{Name: "one"}})
	n.Interfaces = nil
	if data, err := connmanYAML(&n); data != nil || err != nil {
		t.Errorf("no problem: %q %v, want nil", data, err)
	}
}
