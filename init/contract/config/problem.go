package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Severity is the consequence of a problem.
type Severity uint8

// From harmless to costly. Note and Warning values are applied; an Error value is left out and
// everything else still applies.
const (
	Note    Severity = iota // good to know: k3OS read this otherwise, or nothing acts on the key yet
	Warning                 // applied, or harmless to leave out, but probably not what was meant
	Error                   // this value is not applied, or the node will not do what the file asks for
)

// String returns the word that is in a printed problem.
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	}
	return "error"
}

// MarshalText returns the same word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Problem is one finding in a configuration: where, what, and the way out.
type Problem struct {
	File     string   `json:"file,omitempty"` // as given to Parse; empty for what is missing from every source
	Line     int      `json:"line,omitempty"` // 1-based; 0 when the problem has no place
	Col      int      `json:"col,omitempty"`  // 1-based, in characters
	Key      string   `json:"key,omitempty"`  // dotted path with indexes, "k3os.wifi[0].name"; empty for the file as a whole
	Message  string   `json:"message"`        // what is wrong, without a full stop
	Fix      string   `json:"fix,omitempty"`  // an imperative sentence without a full stop; may be empty
	Severity Severity `json:"severity"`
	Fatal    bool     `json:"fatal,omitempty"` // the file could not be read as a whole; a node keeps the file it imported before
	// Unknown marks a key that is in no table. The node ignores it; the laptop refuses the file,
	// see Strict.
	Unknown bool `json:"unknown,omitempty"`
}

// Refused returns the keys of what is refused, sorted; the file's name where a file as a whole is.
func Refused(problems []Problem) []string {
	keys := []string{}
	for _, p := range problems {
		if p.Severity == Error {
			keys = append(keys, cmp.Or(p.Key, p.File))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// String is the one-line form "file:line:col: severity: key: message; fix".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Col)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(p.Severity.String() + ": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Worst is the highest severity among problems, and whether there is any.
func Worst(problems []Problem) (Severity, bool) {
	worst := Note
	for _, p := range problems {
		worst = max(worst, p.Severity)
	}
	return worst, len(problems) > 0
}

// Strict returns the problems as the laptop judges them: a key that does not exist is an error
// there, for a person can still correct it, while a node must come up with what is left. The given
// slice is not changed.
func Strict(problems []Problem) []Problem {
	out := slices.Clone(problems)
	for i := range out {
		if out[i].Unknown {
			out[i].Severity = Error
		}
	}
	return out
}

// maxProblems bounds what one file can print: a console is 25 lines high, and a binary file taken
// for a configuration would otherwise give one problem for every byte.
const maxProblems = 100

// place is where a value is. The zero place is nowhere.
type place struct {
	file      string
	line, col int
}

// list collects problems and keeps them in reading order.
type list struct {
	doubts   []string // words that must not be shown
	problems []Problem
	dropped  int
	unknown  bool // a key that does not exist is among the dropped
}

func (l *list) add(at place, s Severity, key, fix, format string, args ...any) {
	if len(l.problems) >= maxProblems {
		l.dropped++
		return
	}
	for _, w := range l.doubts {
		if len(w) >= 8 && strings.ContainsAny(w, "0123456789") && strings.Contains(key, w) { // else it is more likely a name
			key = strings.ReplaceAll(key, w, "...")
		}
	}
	l.problems = append(l.problems, Problem{File: at.file, Line: at.line, Col: at.col, Key: shownPath(key), Severity: s,
		Message: without(fmt.Sprintf(format, args...), l.doubts), Fix: without(fix, l.doubts)})
}

// addUnknown adds a key that does not exist.
func (l *list) addUnknown(at place, key, fix string) {
	n := len(l.problems)
	l.add(at, Warning, key, fix, "there is no such key; it is ignored")
	if len(l.problems) > n {
		l.problems[n].Unknown = true
	} else {
		l.unknown = true
	}
}

// sorted returns the problems by line and column; equal places keep the order of discovery.
func (l *list) sorted() []Problem {
	sort.SliceStable(l.problems, func(i, j int) bool {
		a, b := l.problems[i], l.problems[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	if l.dropped > 0 {
		p := Problem{Severity: Warning, Unknown: l.unknown, Message: fmt.Sprintf("%d more problems are not shown", l.dropped)}
		if n := len(l.problems); n > 0 {
			p.File = l.problems[n-1].File
		}
		l.problems, l.dropped = append(l.problems, p), 0
	}
	return l.problems
}
