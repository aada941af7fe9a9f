package main

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// folded breaks lines that are longer than width at words. The following lines begin at the line's
// second column: the first word after two spaces, or after the heading of a problem. A width of 0
// leaves all as it is: output for programs has whole lines.
func folded(text []byte, width int) []byte {
	if width == 0 {
		return text
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		indent := secondColumn(line)
		at := 0
		for i, word := range strings.SplitAfter(line, " ") {
			n := utf8.RuneCountInString(strings.TrimSuffix(word, " "))
			if i > 0 && at+n > width && at > indent {
				cut := bytes.TrimRight(out.Bytes(), " ")
				out.Truncate(len(cut))
				out.WriteString("\n" + strings.Repeat(" ", indent))
				at = indent
			}
			out.WriteString(word)
			at += utf8.RuneCountInString(word)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// secondColumn is where the text of a line begins that has a heading.
func secondColumn(line string) int {
	for _, heading := range []string{"what went wrong: ", "how to fix it:   "} {
		if strings.HasPrefix(line, heading) {
			return len(heading)
		}
	}
	const at = 11 // as writeStatus and help have it
	if len(line) > at && line[at-1] == ' ' && line[at] != ' ' && !strings.Contains(strings.TrimRight(line[:at], " "), " ") {
		return at
	}
	return 0
}
