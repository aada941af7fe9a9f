package judge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/vm"
)

// Case is one node with its services.
type Case struct {
	VM      *vm.VM
	Key     ssh.Signer
	Rogue   []byte // qemu/fixtures/rogue, for the node's processor
	Units   []Unit
	Seed    uint64
	Bear    time.Duration // how long they run, at least until each has done what it is for
	Patient time.Duration // for one event
	Say     func(format string, args ...any)

	looks int
}

// configFile is a further source of the node's configuration.
const configFile = "/var/lib/rancher/k3os/config.d/soak.yaml"

// Run lets the units loose on a node that is up, takes them away, lets them loose again and
// switches the node off. It returns what was wrong; an error means that the node could not be
// judged, such as when nobody can log in.
func (c *Case) Run(ctx context.Context) (failures []string, err error) {
	if err := c.install(ctx); err != nil {
		return nil, err
	}
	before, err := c.until(ctx, "the healthy services run", func(l Look) []string {
		if l.Services["good-answer"].Phase != "ready" || l.Services["good-idle"].Phase != "ready" || l.Services["sshd"].Phase != "ready" {
			return []string{l.line("good-idle"), l.line("good-answer"), l.line("sshd")}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.Say("before: PID 1 takes %d KiB, %d of them allocated, and has %d open files", before.RSS, before.Anon, before.FDs)

	bear := func(units []Unit, least time.Duration) error {
		if err := c.services(ctx, append(units[:len(units):len(units)], Healthy...)...); err != nil {
			return err
		}
		var worst Look
		end := time.Now().Add(least)
		_, err := c.until(ctx, "every service has done what it is for", func(l Look) []string {
			failures = append(failures, l.bounded(before)...)
			worst.RSS, worst.Anon, worst.FDs, worst.Zombies = max(worst.RSS, l.RSS), max(worst.Anon, l.Anon), max(worst.FDs, l.FDs), max(worst.Zombies, l.Zombies)
			idle := l.idle(units)
			if len(idle) == 0 && time.Now().Before(end) {
				return []string{"the time is not over"}
			}
			return idle
		})
		c.Say("with %d of them: PID 1 took at most %d KiB, %d of them allocated, and had %d open files, %d zombies at a moment", len(units), worst.RSS, worst.Anon, worst.FDs, worst.Zombies)
		return err
	}
	if err := bear(c.Units, c.Bear/2); err != nil {
		return failures, err
	}
	some := Some(c.Units, c.Seed)
	if err := bear(some, c.Bear/2); err != nil {
		return failures, err
	}
	if err := c.services(ctx, Healthy...); err != nil {
		return failures, err
	}
	var left []string
	after, err := c.until(ctx, "the node is as it was", func(l Look) []string {
		left = l.rested(before)
		return left
	})
	if err != nil {
		return append(failures, left...), err
	}
	c.Say("after: PID 1 takes %d KiB, %d of them allocated, and has %d open files", after.RSS, after.Anon, after.FDs)

	// All again, for the end; what each of them does was seen before, so that it is enough that
	// they run.
	if err := c.services(ctx, append(c.Units[:len(c.Units):len(c.Units)], Healthy...)...); err != nil {
		return failures, err
	}
	if _, err := c.until(ctx, "they run again", func(l Look) []string { return l.idle(running(c.Units)) }); err != nil {
		return failures, err
	}
	return append(failures, c.off(ctx)...), nil
}

// install brings the program to the node, with the healthy services.
func (c *Case) install(ctx context.Context) error {
	s, err := c.login(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err = s.RunInput(ctx, "sudo sh -c 'cat > "+Program+" && chmod 755 "+Program+" && mkdir -p $(dirname "+configFile+")'", c.Rogue); err != nil {
		return err
	}
	return c.configure(ctx, s, Healthy)
}

// services changes the services of the node.
func (c *Case) services(ctx context.Context, units ...Unit) error {
	s, err := c.login(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	return c.configure(ctx, s, units)
}

func (c *Case) configure(ctx context.Context, s *vm.Shell, units []Unit) error {
	_, err := s.RunInput(ctx, "sudo sh -c 'cat > "+configFile+".new && mv "+configFile+".new "+configFile+" && shelf config reload'", []byte(Services(units...)))
	return err
}

// login opens a connection of its own: to log in must always work.
func (c *Case) login(ctx context.Context) (*vm.Shell, error) {
	one, cancel := context.WithTimeout(ctx, c.Patient)
	defer cancel()
	return c.VM.SSH(one, "rancher", c.Key)
}

// until looks, each time over a new login, until nothing is open.
func (c *Case) until(ctx context.Context, what string, open func(Look) []string) (Look, error) {
	end := time.Now().Add(c.Patient)
	began := c.looks
	for {
		l, err := c.look(ctx)
		left := []string{fmt.Sprint(err)}
		switch {
		case err == nil:
			left = open(l)
		case !errors.Is(err, errSilent): // that is a matter of time on a slow machine
			return l, fmt.Errorf("waiting until %s: %w", what, err)
		}
		if len(left) == 0 {
			return l, nil
		}
		if time.Now().After(end.Add(c.Bear)) && c.looks > began+3 {
			return l, fmt.Errorf("waited until %s, without success:\n%s", what, strings.Join(left, "\n"))
		}
		time.Sleep(time.Second)
	}
}

func (c *Case) look(ctx context.Context) (Look, error) {
	c.looks++
	s, err := c.login(ctx)
	if err != nil {
		return Look{}, err
	}
	defer s.Close()
	one, cancel := context.WithTimeout(ctx, c.Patient)
	defer cancel()
	text, err := s.Run(one, look)
	if err != nil {
		return Look{}, err
	}
	return parse(text)
}

// wrong are lines of a shutdown that did not go well.
var wrong = regexp.MustCompile(`(?m)shelf: (stopping: .*|.* stays mounted: .*|/ could not be made read-only: .*|still running: .*)`)

// off switches the node off while they run, and reads its messages about that.
func (c *Case) off(ctx context.Context) []string {
	one, cancel := context.WithTimeout(ctx, c.Patient)
	defer cancel()
	s, err := c.login(one)
	if err != nil {
		return []string{err.Error()}
	}
	// A process that a login leaves behind with a file open would keep the disk from being closed.
	if _, err := s.Run(one, "setsid sh -c 'exec >open; while :; do sleep 1; echo; done' </dev/null >/dev/null 2>&1 &"); err != nil {
		return []string{err.Error()}
	}
	began := time.Now()
	_, _ = s.Run(one, "sudo shelf poweroff") // the connection may go before the status comes
	s.Close()
	if err := c.VM.Wait(one); err != nil {
		return []string{"it does not power off: " + err.Error()}
	}
	c.Say("switched off in %.0f s", time.Since(began).Seconds())
	var bad []string
	out := c.VM.Output()
	for _, m := range wrong.FindAllStringSubmatch(out, -1) {
		bad = append(bad, "at the end: "+m[1])
	}
	if !strings.Contains(out, "shelf: poweroff now") {
		bad = append(bad, "the console does not show that it is switched off")
	}
	return bad
}

// Looks counts the logins that were judged.
func (c *Case) Looks() int { return c.looks }
