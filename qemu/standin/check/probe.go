package check

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Host is the node as the probes see it. Everything that is no file can be replaced, so that a test can break one fact at a time
// in a directory that only looks like a node.
type Host struct {
	Root     string              // "/" on a node
	Role     string              // server or agent
	Config   map[string][]string // k3s' own configuration, merged
	Now      func() time.Time
	Getenv   func(string) string
	Run      func(argv ...string) (string, error) // runs a program of the node
	Delegate func(controllers []string) error     // makes a control group beside ours and hands it controllers
}

// probe looks at one thing and says what is wrong with it.
type probe func(h *Host, args []string) error

// probes are the words that the third column of facts.txt begins with, with the arguments they take.
var probes = map[string]probe{
	"words":      words,      // FILE WORD..: the file has each word
	"matches":    matches,    // FILE REGEXP
	"lacks":      lacks,      // FILE REGEXP: no match
	"least":      least,      // FILE NUMBER: the file's number is at least this
	"least-size": leastSize,  // FILE BYTES
	"exists":     exists,     // FILE..
	"readable":   readable,   // FILE: it opens
	"writable":   writable,   // DIRECTORY: a file can be made in it
	"pointer":    pointer,    // FILE: it names a program that exists
	"program":    program,    // NAME..: in PATH
	"mount":      mount,      // DIRECTORY WORD..: the mount that covers it is type=T, shared, has an option or (!option) has not
	"persistent": persistent, // DIRECTORY: lies on ext4, links followed
	"modules":    modules,    // NAME..: loaded or built in
	"limit":      limit,      // NAME NUMBER: soft limit of this process, at least
	"caps":       caps,       // NAME..: effective capabilities of this process
	"meminfo":    meminfo,    // NAME KIB: at least
	"clock":      clock,      // DATE or manifest: not earlier
	"route":      route,      // default: there is one
	"noroute":    noRoute,    // NETWORK: there is none
	"env":        env,        // NAME: set
	"rule":       rule,       // PROGRAM TABLE RULE..: goes into a chain of its own and out again
	"runs":       runs,       // PROGRAM ARGUMENT..: status 0
	"version":    version,    // PROGRAM X.Y.Z: at least
	"delegate":   delegate,   // CONTROLLER..
	"config":     config,     // KEY REGEXP: of k3s' configuration
	"known-keys": knownKeys,  // every key of k3s' configuration is a flag of k3s
	"secret":     secret,     // KEY: the file that it names, if set, is private and not empty
}

func (h *Host) path(name string) string { return filepath.Join(h.Root, name) }

func (h *Host) read(name string) (string, error) {
	data, err := os.ReadFile(h.path(name))
	return string(data), err
}

func words(h *Host, args []string) error {
	text, err := h.read(args[0])
	if err != nil {
		return err
	}
	have := strings.Fields(text)
	for _, w := range args[1:] {
		if !slices.Contains(have, w) {
			return fmt.Errorf("%s has no %s, it has %q", args[0], w, have)
		}
	}
	return nil
}

func match(h *Host, name, pattern string) (string, bool, error) {
	text, err := h.read(name)
	if err != nil {
		return "", false, err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return "", false, err
	}
	return text, re.MatchString(text), nil
}

func matches(h *Host, args []string) error {
	text, ok, err := match(h, args[0], args[1])
	if err == nil && !ok {
		err = fmt.Errorf("%s does not match %s: %.300q", args[0], args[1], text)
	}
	return err
}

func lacks(h *Host, args []string) error {
	text, ok, err := match(h, args[0], args[1])
	if err == nil && ok {
		err = fmt.Errorf("%s matches %s: %.300q", args[0], args[1], text)
	}
	return err
}

func least(h *Host, args []string) error {
	text, err := h.read(args[0])
	if err != nil {
		return err
	}
	return atLeast(args[0], strings.TrimSpace(text), args[1])
}

func atLeast(what, have, want string) error {
	n, err := strconv.ParseInt(have, 10, 64)
	if err != nil {
		return fmt.Errorf("%s is %q, no number", what, have)
	}
	if w, err := strconv.ParseInt(want, 10, 64); err != nil || n < w {
		return fmt.Errorf("%s is %d, %s is needed", what, n, want)
	}
	return nil
}

func leastSize(h *Host, args []string) error {
	st, err := os.Stat(h.resolve(args[0]))
	if err != nil {
		return err
	}
	return atLeast(args[0]+" in bytes", strconv.FormatInt(st.Size(), 10), args[1])
}

func mode(h *Host, args []string) error {
	st, err := os.Stat(h.path(args[0]))
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%04o", st.Mode().Perm()); got != args[1] {
		return fmt.Errorf("%s has mode %s, %s is needed", args[0], got, args[1])
	}
	return nil
}

func exists(h *Host, args []string) error {
	for _, name := range args {
		if _, err := os.Lstat(h.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func readable(h *Host, args []string) error {
	f, err := os.Open(h.path(args[0]))
	if err != nil {
		return err
	}
	return f.Close()
}

func writable(h *Host, args []string) error {
	f, err := os.CreateTemp(h.path(args[0]), ".standin-")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// resolve follows links as the node would, inside Root.
func (h *Host) resolve(name string) string { return h.path(h.target(name)) }

// target is name with every link on its way followed; the result is absolute as the node sees it. Missing parts stay.
func (h *Host) target(name string) string {
	done, rest := "/", strings.Split(strings.Trim(path.Clean(name), "/"), "/")
	for follows := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		link, err := os.Readlink(h.path(next))
		if err != nil || follows > 40 {
			done = next
			continue
		}
		follows++
		if path.IsAbs(link) {
			done = "/"
		}
		rest = append(strings.Split(strings.Trim(path.Clean(link), "/"), "/"), rest...)
	}
	return done
}

// runnable says whether a file of the node is a program.
func (h *Host) runnable(name string) bool {
	st, err := os.Stat(h.resolve(name))
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

func pointer(h *Host, args []string) error {
	text, err := h.read(args[0])
	if err != nil {
		return err
	}
	if name := strings.TrimSpace(text); !path.IsAbs(name) || !h.runnable(name) {
		return fmt.Errorf("%s names %q, which is no program here", args[0], name)
	}
	return nil
}

func program(h *Host, args []string) error {
	for _, name := range args {
		if !slices.ContainsFunc(filepath.SplitList(h.Getenv("PATH")), func(dir string) bool { return h.runnable(path.Join(dir, name)) }) {
			return fmt.Errorf("%s is not in PATH (%s)", name, h.Getenv("PATH"))
		}
	}
	return nil
}
