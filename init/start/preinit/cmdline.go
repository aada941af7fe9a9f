package preinit

import "strings"

// Cmdline holds the words of the kernel's command line that have a value, and those that have none
// as "". A word given twice has its last value. Quotes may enclose a value, as the kernel allows.
type Cmdline map[string]string

// ParseCmdline reads the text of /proc/cmdline.
func ParseCmdline(text string) Cmdline {
	c := Cmdline{}
	var word strings.Builder
	quoted := false
	flush := func() {
		if name, value, _ := strings.Cut(word.String(), "="); name != "" {
			c[name] = value
		}
		word.Reset()
	}
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case !quoted && (r == ' ' || r == '\n' || r == '\t'):
			flush()
		default:
			word.WriteRune(r)
		}
	}
	flush()
	return c
}
