// Package tool finds the programs that check our work: QEMU and the reference tools of each format.
//
// A program comes from PATH when it is new enough, else from Debian packages for this host, fetched
// by imgbuild's own code into its cache and run through the packages' own loader and libraries.
// That needs no root and nothing installed, so that no test has to be skipped: no tool and no
// network is a failure with a sentence.
//
// IMGBUILD_TOOLS=packages leaves PATH aside, IMGBUILD_TOOLS=path the packages.
package tool

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"imgbuild/init/contract/fault"
)

// T is the part of testing.TB that Path needs, so that a program that boots an image does not carry
// package testing.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Path returns a file that runs the program name; the test fails if there is none.
func Path(t T, name string) string {
	t.Helper()
	path, err := Find(context.Background(), name, "")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// Command is exec.CommandContext for a program of the table.
func Command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	path, err := Find(ctx, name, "")
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, path, args...), nil
}

var (
	lock  sync.Mutex // held while packages are unpacked: one process asks for a set once
	found = map[string]string{}
)

// Find returns a file that runs the program name in a version of at least least ("" = what the
// table asks for): an absolute path of PATH, or a small script in the cache that starts the program
// of a Debian package. Errors: fault.Usage for a name that the table does not have, fault.Network
// and others when the packages are not available.
func Find(ctx context.Context, name, least string) (string, error) {
	p, ok := row(name)
	if !ok {
		return "", fault.New(fault.Usage, "add a row to qemu/tool/table.go", "no program %q is known", name)
	}
	if least == "" || older(least, p.least) {
		least = p.least
	}
	lock.Lock()
	defer lock.Unlock()
	key := name + " " + least
	if path := found[key]; path != "" {
		return path, nil
	}
	way := os.Getenv("IMGBUILD_TOOLS")
	var why error
	if way != "packages" {
		path, err := fromPath(ctx, p, least)
		if err == nil {
			found[key] = path
			return path, nil
		}
		why = err
	}
	if way == "path" {
		return "", fault.Wrap(why, fault.Input, "install it, or unset IMGBUILD_TOOLS", "")
	}
	path, err := fromPackages(ctx, p)
	if err != nil {
		return "", errors.Join(fault.Wrap(err, fault.Network, "install "+sets[p.set].want[0]+" or give a mirror in IMGBUILD_MIRROR",
			"%s from Debian packages", name), why)
	}
	if v, err := ask(ctx, path, p); err != nil || older(v, least) {
		return "", fault.New(fault.Internal, "", "%s of the Debian packages gives version %q, %s is needed: %w", name, v, least, err)
	}
	found[key] = path
	return path, nil
}

// fromPath looks where an unprivileged user's PATH often does not: the sbin directories.
func fromPath(ctx context.Context, p program, least string) (string, error) {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin")
	seen := ""
	for _, dir := range dirs {
		path, err := exec.LookPath(filepath.Join(dir, p.name))
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		version, err := ask(ctx, path, p)
		if err == nil && !older(version, least) {
			return path, nil
		}
		seen = path + " has version " + strconv.Quote(version)
	}
	if seen == "" {
		return "", fault.New(fault.Input, "", "%s is not in PATH", p.name)
	}
	return "", fault.New(fault.Input, "", "%s, %s is needed", seen, least)
}

// ask runs the program's version probe.
func ask(ctx context.Context, path string, p program) (string, error) {
	cmd := exec.CommandContext(ctx, path, p.ask...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		return "", err
	}
	m := p.version.FindSubmatch(out)
	if m == nil {
		return "", fault.New(fault.Internal, "", "%s prints no version: %.200q", path, out)
	}
	return string(m[1]), nil
}

// older compares dotted numbers: 7.2 is older than 7.2.1 and than 10.
func older(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x < y
		}
	}
	return false
}
