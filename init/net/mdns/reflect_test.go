package mdns

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"
)

// packet is a message with these records.
func packet(t testing.TB, response bool, questions, answers, ns, extra []string) []byte {
	t.Helper()
	m := &dns.Msg{Answer: rrs(t, answers...), Ns: rrs(t, ns...), Extra: rrs(t, extra...)}
	m.Response = response
	for _, q := range questions {
		m.Question = append(m.Question, dns.Question{Name: q, Qtype: dns.TypeANY, Qclass: dns.ClassINET | flush})
	}
	data, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What is brought to another link, and what of it.
func TestReflected(t *testing.T) {
	const (
		host, four = "node1.local.", "node1.local. 120 IN A 192.168.1.2"
		six, near  = "node1.local. 120 IN AAAA 2001:db8::2", "node1.local. 120 IN AAAA fe80::2"
		auto       = "node1.local. 120 IN A 169.254.1.2"
	)
	none := []string(nil)
	for _, c := range []struct {
		name     string
		in, want []byte // no want: nothing
	}{
		{"a question", packet(t, false, []string{host}, none, none, none), packet(t, false, []string{host}, none, none, none)},
		{"an answer", packet(t, true, none, []string{four, six}, none, none), packet(t, true, none, []string{four, six}, none, none)},
		{"an answer with addresses of the link", packet(t, true, none, []string{near, four, auto}, none, []string{near, six}), packet(t, true, none, []string{four}, none, []string{six})},
		{"a probe", packet(t, false, []string{host}, none, []string{four, near}, none), packet(t, false, []string{host}, none, []string{four}, none)},
		{"addresses of the link alone", packet(t, true, none, []string{near, auto}, none, none), nil},
		{"nothing", packet(t, true, none, none, none, none), nil},
		{"not DNS", []byte("GET / HTTP/1.1\r\n\r\n"), nil},
		{"cut", packet(t, true, none, []string{four}, none, none)[:20], nil},
	} {
		got, ok := Reflected(c.in)
		if ok != (c.want != nil) {
			t.Errorf("%s: got %v", c.name, ok)
			continue
		}
		if !ok {
			continue
		}
		a, err := parse(got)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := parse(c.want)
		if a.String() != b.String() {
			t.Errorf("%s: got\n%v\nwant\n%v", c.name, a, b)
		}
	}
	// What needs no change is not written again: others may know more than our library.
	in := packet(t, true, none, []string{four, six}, none, none)
	if got, _ := Reflected(in); !bytes.Equal(got, in) {
		t.Errorf("got %x, want %x", got, in)
	}
}

func FuzzReflected(f *testing.F) {
	f.Add(packet(f, true, nil, []string{"node1.local. 120 IN A 192.168.1.2", "node1.local. 120 IN AAAA fe80::2"}, nil, nil))
	f.Add(packet(f, false, []string{"node1.local."}, nil, []string{"node1.local. 120 IN A 169.254.1.2"}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, ok := Reflected(data)
		if !ok {
			return
		}
		if _, err := parse(out); err != nil {
			t.Errorf("%x became %x: %v", data, out, err)
		}
	})
}
