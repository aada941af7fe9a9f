package frame

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

var (
	one = MAC{0x52, 0x54, 0, 0, 0, 1}
	two = MAC{0x52, 0x54, 0, 0, 0, 2}
)

// The bytes come from captures of a Linux kernel's ARP and a DHCP client's datagram, shortened.
func TestBytes(t *testing.T) {
	a := ARP{From: one, To: Broadcast, Op: Request, SenderMAC: one, Sender: netip.MustParseAddr("192.168.77.9"), Target: netip.MustParseAddr("192.168.77.1")}
	const arp = "ffffffffffff525400000001" + "0806" + "0001080006040001" + "525400000001c0a84d09" + "000000000000c0a84d01"
	if got := hex.EncodeToString(a.Bytes()); got != arp {
		t.Errorf("ARP: got %s, want %s", got, arp)
	}
	d := Datagram{From: one, To: two, Src: netip.MustParseAddrPort("10.0.0.1:68"), Dst: netip.MustParseAddrPort("10.0.0.2:67"), Data: []byte("abc")}
	const udp = "525400000002525400000001" + "0800" + "4500001f00000000401166cc0a0000010a000002" + "00440043000b26ec616263"
	if got := hex.EncodeToString(d.Bytes()); got != udp {
		t.Errorf("UDP: got %s, want %s", got, udp)
	}
	if Checksum(d.Bytes()[etherLen:etherLen+ipLen]) != 0 {
		t.Error("the checksum of the IPv4 header is wrong")
	}
}

func TestParse(t *testing.T) {
	arp := ARP{From: one, To: two, Op: Reply, SenderMAC: one, Sender: netip.MustParseAddr("1.2.3.4"), TargetMAC: two, Target: netip.MustParseAddr("5.6.7.8")}
	padded := append(arp.Bytes(), make([]byte, 18)...) // as short frames come
	if got, ok := ParseARP(padded); !ok || got != arp {
		t.Errorf("got %+v, %v, want %+v", got, ok, arp)
	}
	udp := Datagram{From: one, To: two, Src: netip.MustParseAddrPort("1.2.3.4:5"), Dst: netip.MustParseAddrPort("5.6.7.8:9"), Data: []byte("hello")}
	got, ok := ParseUDP(append(udp.Bytes(), make([]byte, 18)...))
	if !ok || got.Src != udp.Src || got.Dst != udp.Dst || got.From != one || got.To != two || !bytes.Equal(got.Data, udp.Data) {
		t.Errorf("got %+v, %v, want %+v", got, ok, udp)
	}
	change := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"short": arp.Bytes()[:41], "another type": change(arp.Bytes(), 12, 9), "hardware": change(arp.Bytes(), 15, 6),
		"protocol": change(arp.Bytes(), 16, 9), "length of addresses": change(arp.Bytes(), 18, 8),
	} {
		if a, ok := ParseARP(b); ok {
			t.Errorf("ARP, %s: got %+v, want none", name, a)
		}
	}
	for name, b := range map[string][]byte{
		"short": udp.Bytes()[:33], "IPv6": change(udp.Bytes(), 14, 0x65), "header too short": change(udp.Bytes(), 14, 0x44), "header too long": change(udp.Bytes(), 14, 0x4f),
		"total too long": change(udp.Bytes(), 16, 9), "TCP": change(udp.Bytes(), 23, 6), "fragment": change(udp.Bytes(), 20, 0x20), "offset": change(udp.Bytes(), 21, 1),
		"length of UDP": change(udp.Bytes(), 38, 9), "no length": change(udp.Bytes(), 39, 7),
	} {
		if d, ok := ParseUDP(b); ok {
			t.Errorf("UDP, %s: got %+v, want none", name, d)
		}
	}
}

func TestMAC(t *testing.T) {
	text, _ := one.MarshalText()
	var m MAC
	if err := m.UnmarshalText(text); err != nil || m != one || string(text) != "52:54:00:00:00:01" {
		t.Errorf("got %v, %v from %s", m, err, text)
	}
	for _, bad := range []string{"", "52:54", "52:54:00:00:00:00:00:01", "x"} {
		if err := m.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
	if one.Multicast() || !Broadcast.Multicast() {
		t.Error("one machine is taken for several, or the other way round")
	}
}

// What was read is written as it was, apart from what is not kept.
func FuzzParse(f *testing.F) {
	f.Add(ARP{From: one, To: two, Op: Reply, Sender: netip.MustParseAddr("1.2.3.4"), Target: netip.MustParseAddr("5.6.7.8")}.Bytes())
	f.Add(Datagram{From: one, To: two, Src: netip.MustParseAddrPort("1.2.3.4:5"), Dst: netip.MustParseAddrPort("5.6.7.8:9"), Data: []byte("hello")}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, ok := ParseARP(b); ok && !bytes.Equal(a.Bytes(), b[:etherLen+arpLen]) {
			t.Errorf("ARP: got %x, want %x", a.Bytes(), b)
		}
		if d, ok := ParseUDP(b); ok {
			again, ok := ParseUDP(d.Bytes())
			if !ok || again.Src != d.Src || again.Dst != d.Dst || !bytes.Equal(again.Data, d.Data) {
				t.Errorf("UDP: got %+v, %v, want %+v", again, ok, d)
			}
		}
	})
}
