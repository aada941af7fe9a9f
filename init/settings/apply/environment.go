package apply

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// The files with the variables of k3os.environment. Two readers need two files: PAM takes a line as
// it is and knows no escape, a shell would run what is in a value.
const (
	pamEnvironment   = "/etc/environment"
	shellEnvironment = "/etc/profile.d/00-environment.sh"
)

// Environment sets the variables of every login, next to those of the image. Both files are for
// root and User alone, since variables hold secrets. A value with a line break has no place there.
func (m Machine) Environment(env map[string]string) error {
	first := m.Track == nil || m.Track.environment == nil
	if len(env) == 0 && first {
		return nil
	}
	var before string
	if first {
		text, err := os.ReadFile(m.path(pamEnvironment))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if before = string(text); m.Track != nil {
			m.Track.environment = &before
		}
	} else {
		before = *m.Track.environment
	}
	var pam, shell strings.Builder
	for _, line := range strings.Split(strings.TrimRight(before, "\n"), "\n") {
		name, _, _ := strings.Cut(line, "=")
		if _, replaced := env[strings.TrimSpace(name)]; line != "" && !replaced {
			pam.WriteString(line + "\n")
		}
	}
	shell.WriteString("# Written by shelf from k3os.environment.\n")
	var errs []error
	for _, name := range sorted(env) {
		value := env[name]
		switch {
		case !isVariable(name):
			errs = append(errs, fault.New(fault.Input, "use letters, digits and _, a letter first", "a name in k3os.environment is not that of a variable"))
			continue
		case strings.ContainsAny(value, "\n\r\x00"):
			errs = append(errs, fault.New(fault.Input, "write it on one line", "the environment variable %s has a line break", name))
			continue
		}
		shell.WriteString("export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n")
		if plainForPAM(value) {
			pam.WriteString(name + "=" + value + "\n")
		}
	}
	if len(env) == 0 { // all is taken out again
		return errors.Join(m.write(pamEnvironment, pam.String(), 0o644), remove(m.path(shellEnvironment)))
	}
	errs = append(errs, atomicfile.WriteAs(m.path(pamEnvironment), []byte(pam.String()), 0o640, os.Getuid(), m.GID))
	if err := os.MkdirAll(m.path("/etc/profile.d"), 0o755); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, atomicfile.WriteAs(m.path(shellEnvironment), []byte(shell.String()), 0o640, os.Getuid(), m.GID))...)
}

// isVariable reports whether a shell takes a word for the name of a variable.
func isVariable(name string) bool {
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == "" && (name[0] < '0' || name[0] > '9')
}

// plainForPAM reports whether pam_env reads a value of /etc/environment as it is. # begins a
// comment anywhere, quotes around it are taken off, a backslash at the end joins lines, white space
// at both ends is lost, lines have 1024 bytes, and an empty value takes the variable away. Other
// values come to shells alone.
func plainForPAM(value string) bool {
	return value != "" && len(value) < 900 && !strings.ContainsAny(value, "#\\\x00") && strings.TrimSpace(value) == value && !strings.ContainsAny(value[:1], `"'`)
}
