package vm

import (
	"fmt"
	"strings"
	"testing"
)

// However the console's bytes are cut, the node's own lines are shown, whole and harmless, and
// nothing else.
func TestQuiet(t *testing.T) {
	const console = "U-Boot 2025.01\r\n[    0.000000] Booting Linux\r\nshelf: step preinit ok 8.53s\r\n[   12.500000] shelf: PROBLEM what went wrong: \x1b[2J no clock\r\n" +
		"noise shelf: not ours\r\nshelf: ready, but k3s: waiting\r\nshelf: node1 is up, but k3s: waiting; at 10.0.0.1; log in with: ssh rancher@10.0.0.1\r\nshelf: rea"
	want := "n1 shelf: step preinit ok 8.53s\nn1 shelf: PROBLEM what went wrong: \\x1b[2J no clock\nn1 shelf: ready, but k3s: waiting\nn1 shelf: node1 is up, but k3s: waiting; at 10.0.0.1; log in with: ssh rancher@10.0.0.1\n"
	for _, size := range []int{1, 2, 7, len(console)} {
		var out strings.Builder
		ready := 0
		q := NewQuiet(&out, "n1 ", func() { ready++ })
		for at := 0; at < len(console); at += size {
			if _, err := fmt.Fprint(q, console[at:min(at+size, len(console))]); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want || ready != 1 {
			t.Errorf("by %d bytes: got %q, ready %d times, want %q, once", size, out.String(), ready, want)
		}
	}
	var out strings.Builder
	q := NewQuiet(&out, "", nil)
	fmt.Fprint(q, "shelf: "+strings.Repeat("x", 9<<20)+"\nshelf: ready\n")
	if len(out.String()) > 2*longest || !strings.HasSuffix(out.String(), "\nshelf: ready\n") {
		t.Errorf("a line without an end gives %d bytes", len(out.String()))
	}
}
