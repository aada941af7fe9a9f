package nfs

import (
	"slices"
	"testing"
	"testing/fstest"
)

// info is as Linux 6.12 writes it (fs/nfsd/nfs4state.c, client_info_show).
func info(address, status, name string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("clientid: 0x6d077c8b6d5a1d2c\naddress: \"" + address + "\"\nstatus: " + status +
		"\nseconds from last renew: 12\nname: \"" + name + "\"\nminor version: 2\nImplementation domain: \"kernel.org\"\n" +
		"Implementation name: \"Linux 6.12\"\nImplementation time: [0, 0]\ncallback state: UP\ncallback address: \"10.0.0.5:0\"\nadmin-revoked states: 0\n")}
}

func TestClients(t *testing.T) {
	got, err := Clients(fstest.MapFS{
		"7/info":  info("10.0.0.5:784", "confirmed", "Linux NFSv4.2 laptop"),
		"3/info":  info("[fd00::5]:784", "courtesy", "Linux NFSv4.2 box/0a1b"),
		"9/info":  info("10.0.0.6:900", "unconfirmed", "Linux NFSv4.2 new"),
		"10/info": info("127.0.0.1:900", "confirmed", "shelf probe 0102030405060708"),
		"11/info": info("10.0.0.5:785", "confirmed", "Linux NFSv4.2 laptop"), // an older connection of it
		"12/ctl":  &fstest.MapFile{},
	})
	want := []Peer{{"Linux NFSv4.2 box/0a1b", "fd00::5"}, {"Linux NFSv4.2 laptop", "10.0.0.5"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got := want[0].String() + " " + want[1].String() + " " + (Peer{"FreeBSD", "10.0.0.9"}).String(); got != "box/0a1b (fd00::5) laptop (10.0.0.5) FreeBSD (10.0.0.9)" {
		t.Errorf("for people: got %q", got)
	}
	if _, err := Clients(fstest.MapFS{}); err != nil {
		t.Errorf("without a client: %v", err)
	}
}

// The server waits for those that were there before and are not yet.
func TestAway(t *testing.T) {
	a, b, c := Peer{"a", "10.0.0.1"}, Peer{"b", "10.0.0.2"}, Peer{"c", "10.0.0.3"}
	moved := Peer{"b", "10.0.0.9"}
	for name, x := range map[string]struct{ known, now, want []Peer }{
		"none known":         {nil, []Peer{a}, nil},
		"all are back":       {[]Peer{a, b}, []Peer{b, a, c}, nil},
		"one is gone":        {[]Peer{a, b}, []Peer{a}, []Peer{b}},
		"by another address": {[]Peer{a, b}, []Peer{a, moved}, nil},
		"nobody is back":     {[]Peer{a, b}, nil, []Peer{a, b}},
	} {
		if got := Away(x.known, x.now); !slices.Equal(got, x.want) {
			t.Errorf("%s: got %v, want %v", name, got, x.want)
		}
	}
}
