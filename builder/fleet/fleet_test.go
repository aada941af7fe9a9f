package fleet

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/remote"
	"imgbuild/qemu/fixtures/sshd"
)

// fake is as much of a node as these tests talk to.
type fake struct {
	*sshd.Server
	mu    sync.Mutex
	says  map[string]said // what it answers to a command of shelf
	asked []string        // the commands, in order
	then  func(command string)
}

type said struct {
	out  string
	code int
}

// newFakes makes nodes, and a laptop that knows how to log in to them.
func newFakes(t *testing.T, count int) (list []*fake, login remote.Options) {
	t.Helper()
	_, line := sshd.Home(t, "")
	for range count {
		f := &fake{says: map[string]said{}}
		f.Server = sshd.Start(t, "exec", f.answer)
		f.Allow(line)
		list = append(list, f)
	}
	return list, remote.Options{Key: "accept-new"}
}

func (f *fake) answer(ch ssh.Channel, command string) int {
	command = strings.TrimPrefix(command, "sudo ")
	f.mu.Lock()
	f.asked = append(f.asked, command)
	a, ok := f.says[command]
	then := f.then
	f.mu.Unlock()
	if then != nil {
		then(command)
	}
	if !ok {
		fmt.Fprintln(ch.Stderr(), "shelf: it does not know "+command)
		return 2
	}
	fmt.Fprint(ch, a.out)
	return a.code
}

// did returns the commands that begin with one of these.
func (f *fake) did(prefix string) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.asked {
		if strings.HasPrefix(c, prefix) {
			list = append(list, c)
		}
	}
	return slices.Clip(list)
}
