package module

import (
	"slices"
	"strconv"
	"strings"
)

// Words are those of the kernel's command line: values by name, "" where there is none.
type Words map[string]string

// blocked is the word that names modules which no device gets, separated by commas.
const blocked = "modprobe.blacklist"

// Parameters are those of one module, as modprobe(8) takes them out of the command line: a word
// MODULE.NAME=VALUE is the parameter NAME=VALUE. In a module's name - and _ are the same. The
// kernel itself does this only for what is built in.
func (w Words) Parameters(module string) (all []string) {
	for word, value := range w {
		of, name, ok := strings.Cut(word, ".")
		switch {
		case !ok || name == "" || Name(of) != module:
			continue
		case strings.ContainsAny(value, " \t"):
			value = "=" + strconv.Quote(value)
		case value != "":
			value = "=" + value
		}
		all = append(all, name+value)
	}
	slices.Sort(all)
	return all
}

// Blocked reports whether a module is loaded only by its name, and not for a device.
func (w Words) Blocked(module string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(w[blocked], func(c rune) bool { return c == ',' || c == ' ' }), func(name string) bool { return Name(name) == module })
}
