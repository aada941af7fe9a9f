package config

import "strings"

// blankLength is the shortest text that counts as blanked. A shorter secret is none, and `token: x` is an example.
const blankLength = 4

// blanked tells whether a text is what Blank leaves of a secret: only the letter x, and white space at line ends.
func blanked(t string) bool {
	return strings.Count(t, "x") >= blankLength && strings.Trim(t, "x \t\r\n") == ""
}
