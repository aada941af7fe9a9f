package frame

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

var (
	x6   = netip.MustParseAddr("2001:db8::50")
	fe1  = netip.MustParseAddr("fe80::1")
	fe2  = netip.MustParseAddr("fe80::2")
	ask6 = ND{From: one, To: GroupMAC(Group(x6)), Src: fe1, Dst: Group(x6), Type: NeighbourSolicit, Target: x6, Link: one}
	dup6 = ND{From: one, To: GroupMAC(Group(x6)), Src: netip.IPv6Unspecified(), Dst: Group(x6), Type: NeighbourSolicit, Target: x6}
	ans6 = ND{From: one, To: two, Src: fe1, Dst: fe2, Type: NeighbourAdvert, Target: x6, Link: one, Solicited: true, Override: true}
	adv6 = Advert{From: one, To: GroupMAC(AllNodes), Src: fe1, Dst: AllNodes, Lifetime: 1800, Prefixes: []Prefix{{netip.MustParsePrefix("2001:db8::/64"), 2700, 5400}}}
)

// The bytes were put together by another program, after RFC 4861 and RFC 4443.
func TestNDBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"a question", ask6.Bytes(), "3333ff00005052540000000186dd6000000000203afffe800000000000000000000000000001ff0200000000000000000001ff000050" +
			"8700fa6e0000000020010db80000000000000000000000500101525400000001"},
		{"a question for duplicates", dup6.Bytes(), "3333ff00005052540000000186dd6000000000183aff00000000000000000000000000000000ff0200000000000000000001ff000050" +
			"87004c4f0000000020010db8000000000000000000000050"},
		{"an answer", ans6.Bytes(), "52540000000252540000000186dd6000000000203afffe800000000000000000000000000001fe800000000000000000000000000002" +
			"880098406000000020010db80000000000000000000000500201525400000001"},
		{"an advertisement", adv6.Bytes(), "33330000000152540000000186dd6000000000383afffe800000000000000000000000000001ff020000000000000000000000000001" +
			"8600510740000708000000000000000001015254000000010304404000001518" + "00000a8c0000000020010db8000000000000000000000000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// signed is a frame with the right checksum after a change of the message, whose first byte has the
// number 54.
func signed(b []byte, change func(b []byte)) []byte {
	b = bytes.Clone(b)
	change(b)
	b[56], b[57] = 0, 0
	src, dst := netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))
	sum := sum6(src, dst, b[54:])
	b[56], b[57] = byte(sum>>8), byte(sum)
	return b
}

func TestParseND(t *testing.T) {
	router := ND{From: one, To: GroupMAC(AllNodes), Src: fe1, Dst: AllNodes, Type: RouterAdvert}
	for _, c := range []struct {
		name string
		b    []byte
		want ND
	}{
		{"a question", append(ask6.Bytes(), make([]byte, 6)...), ask6}, // padding
		{"a question for duplicates", dup6.Bytes(), dup6},
		{"an answer", ans6.Bytes(), ans6},
		{"an advertisement", adv6.Bytes(), router},
		{"an option that nobody knows", signed(ask6.Bytes(), func(b []byte) { b[78] = 99 }), func() ND { n := ask6; n.Link = MAC{}; return n }()},
	} {
		if got, ok := ParseND(c.b); !ok || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
	set := func(at int, v ...byte) func(b []byte) { return func(b []byte) { copy(b[at:], v) } }
	unsigned := bytes.Clone(ask6.Bytes())
	unsigned[56]++
	for name, b := range map[string][]byte{
		"short": ask6.Bytes()[:60], "another type of frame": signed(ask6.Bytes(), set(13, 0)), "IPv4": signed(ask6.Bytes(), set(14, 0x45)),
		"an extension header": signed(ask6.Bytes(), set(20, 0)), "from another network": signed(ask6.Bytes(), set(21, 254)), "a wrong checksum": unsigned,
		"longer than the frame": signed(ask6.Bytes(), set(19, 33)), "shorter than a question": signed(dup6.Bytes(), set(19, 16)), "nothing in it": signed(ask6.Bytes(), set(19, 0)),
		"code": signed(ask6.Bytes(), set(55, 1)), "an echo": signed(ask6.Bytes(), set(54, 128)), "a redirect": signed(ask6.Bytes(), set(54, 137)),
		"a group asks": signed(ask6.Bytes(), set(22, 0xff)), "for a group": signed(ask6.Bytes(), set(62, 0xff)), "for no address": signed(ask6.Bytes(), set(62, make([]byte, 16)...)),
		"an option of no length": signed(ask6.Bytes(), set(79, 0)), "an option that is too long": signed(ask6.Bytes(), set(79, 2)),
		"for duplicates of another group":              signed(dup6.Bytes(), set(53, 0x51)),
		"for duplicates with a hardware address":       signed(ask6.Bytes(), set(22, make([]byte, 16)...)),
		"an answer of nobody":                          signed(ans6.Bytes(), set(22, make([]byte, 16)...)),
		"an answer to a question that goes to a group": signed(ans6.Bytes(), set(38, 0xff)),
		"an advertisement from far away":               signed(adv6.Bytes(), set(22, 0x20)),
	} {
		if n, ok := ParseND(b); ok {
			t.Errorf("%s: got %+v, want none", name, n)
		}
	}
}

func TestGroup(t *testing.T) {
	if got, want := Group(netip.MustParseAddr("2001:db8::aa:bbcc:ddee")), netip.MustParseAddr("ff02::1:ffcc:ddee"); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := GroupMAC(netip.MustParseAddr("ff02::1:ffcc:ddee")), (MAC{0x33, 0x33, 0xff, 0xcc, 0xdd, 0xee}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What was read is written so that it is read as the same.
func FuzzND(f *testing.F) {
	for _, b := range [][]byte{ask6.Bytes(), dup6.Bytes(), ans6.Bytes(), adv6.Bytes()} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, func() []byte { // with a checksum that is right, which fuzzing hardly finds
			if len(b) < 58 {
				return b
			}
			return signed(b, func([]byte) {})
		}()} {
			n, ok := ParseND(b)
			if !ok || n.Type != NeighbourSolicit && n.Type != NeighbourAdvert {
				continue
			}
			if again, ok := ParseND(n.Bytes()); !ok || again != n {
				t.Errorf("got %+v, %v, want %+v", again, ok, n)
			}
		}
	})
}
