package config

import (
	"path"
	"strings"
)

// shellMarks separate the commands of a line for sh, the longest first.
var shellMarks = []string{"||", "&&", ";;", ";", "|", "&", "\n", "(", ")"}

// shellTokens takes a line for sh apart into words, without their quotes, and marks, each with a
// NUL in front. Nothing is expanded. Comments and here-documents are left out.
func shellTokens(line string) (out []string) {
	var word strings.Builder
	inWord, here := false, false
	var ends []string // delimiters of the here-documents that begin at the next line
	flush := func() {
		switch {
		case inWord && here:
			ends, here = append(ends, strings.TrimPrefix(word.String(), "-")), false
		case inWord:
			out = append(out, word.String())
		}
		word.Reset()
		inWord = false
	}
	for line != "" {
		n := 1 // bytes that are done
		switch c := line[0]; {
		case c == '\\' && len(line) > 1:
			if n = 2; line[1] != '\n' {
				word.WriteByte(line[1])
				inWord = true
			}
		case c == '\'' || c == '"' || c == '`':
			text, _, _ := strings.Cut(line[1:], line[:1])
			word.WriteString(text)
			n, inWord = min(len(text)+2, len(line)), true
		case c == '#' && !inWord:
			text, _, _ := strings.Cut(line, "\n")
			n = len(text)
		case strings.HasPrefix(line, "<<"):
			flush()
			n, here = 2, true
		case c == ' ' || c == '\t' || c == '\r':
			flush()
		case strings.HasPrefix(line, ">&"), strings.HasPrefix(line, "<&"), strings.HasPrefix(line, "&>"):
			word.WriteString(line[:2])
			n, inWord = 2, true
		default:
			mark := ""
			for _, m := range shellMarks {
				if mark == "" && strings.HasPrefix(line, m) {
					mark = m
				}
			}
			if mark == "" {
				word.WriteByte(c)
				inWord = true
				break
			}
			flush()
			n, out = len(mark), append(out, "\x00"+mark)
			for mark == "\n" && len(ends) > 0 && n < len(line) {
				text, _, _ := strings.Cut(line[n:], "\n")
				if n = min(n+len(text)+1, len(line)); strings.TrimSpace(text) == ends[0] {
					ends = ends[1:]
				}
			}
		}
		line = line[n:]
	}
	flush()
	return out
}

// shellCall is a command that a line for sh calls.
type shellCall struct {
	words   []string
	guarded bool // its failure has no consequence: it is a condition, or something else is done then
	last    bool // its failure is the failure of the whole line
}

// shellCalls returns the commands that a line for sh calls, as far as that can be seen without
// running it.
func shellCalls(line string) (out []shellCall) {
	var words []string
	begin, before := 0, 0 // of this list of commands with && and ||, and of the one before it
	list := func() {
		if len(out) > begin {
			begin, before = len(out), begin
		}
	}
	end := func() {
		if c := calledBy(words); len(c.words) > 0 {
			out = append(out, c)
		}
		words = nil
	}
	for _, t := range shellTokens(line) {
		mark, isMark := strings.CutPrefix(t, "\x00")
		if !isMark {
			words = append(words, t)
			continue
		}
		had := len(out)
		end()
		switch {
		case mark == "||":
			for i := begin; i < len(out); i++ {
				out[i].guarded = true
			}
		case mark == "|" && len(out) > had: // the status is that of the last one
			out[had].guarded = true
		case mark == "&" && len(out) > had:
			out[had].guarded = true
			list()
		case strings.Contains(";;\n", mark):
			list()
		}
	}
	end()
	if begin == len(out) { // a mark is at the end
		begin = before
	}
	for i := begin; i < len(out); i++ {
		out[i].last = true
	}
	return out
}

// shellPrefixes are words before a command, or without one. After shellConditions a failure is an
// answer.
var (
	shellPrefixes   = []string{"then", "else", "do", "{", "time", "exec", "command", "builtin", "nice", "nohup", "env", "sudo", "fi", "done", "}", "esac"}
	shellConditions = []string{"if", "elif", "while", "until", "!"}
)

// calledBy takes off what is before the name of a command: words of the shell, variables, and
// programs that call others.
func calledBy(words []string) (c shellCall) {
	program := false // options and variables that come now are those of a program such as sudo
	for len(words) > 0 {
		name, _, isVariable := strings.Cut(words[0], "=")
		switch w := path.Base(words[0]); {
		case contains(shellConditions, w):
			c.guarded = true
		case contains(shellPrefixes, w):
			program = true
		case isVariable && environName.MatchString(name):
		case program && strings.HasPrefix(w, "-"):
		default:
			c.words = words
			return c
		}
		words = words[1:]
	}
	return c
}
