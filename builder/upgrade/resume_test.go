package upgrade

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// The first server is asked to go on; what it answers is shown, and an older shelf is an error.
func TestResume(t *testing.T) {
	_, line := sshd.Home(t, "")
	for _, c := range []struct {
		name, out, want string
		status          int
		code            fault.Kind
	}{
		{"two versions", `{"resumed":["v2","v3"]}`, "nodes upgrade again to v2, v3\n", 0, 0},
		{"nothing was stopped", `{"resumed":[]}`, "no version was stopped\n", 0, 0},
		{"a shelf that prints something else", "yes", "", 0, fault.Network},
		{"a node that is not the first server", "", "", int(fault.Usage), fault.Usage},
	} {
		var asked string
		s := sshd.Start(t, "exec", func(ch ssh.Channel, command string) int {
			asked = command
			fmt.Fprint(ch, c.out)
			return c.status
		})
		s.Allow(line)
		var out bytes.Buffer
		err := Resume(t.Context(), s.Address, remote.Options{Key: "accept-new"}, &out)
		if fault.Code(err) != int(c.code) || out.String() != c.want || !strings.Contains(asked, "shelf upgrade resume -o json") {
			t.Errorf("%s: got %q, %v, asked %q", c.name, out.String(), err, asked)
		}
	}
}
