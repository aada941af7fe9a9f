package qemu

import (
	"go/scanner"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// words are what docs, messages and comments do not use, with what they use instead. The list is
// short on purpose: only words that are never the right one. See docs/CONTRIBUTING.md.
var words = []struct{ bad, good string }{
	{`\b(is|are|was|were|be|been|not) told\b`, "reported, given, informed"},
	{`\btells (whether|what|why|how|which|that|of)\b`, "reports, returns, shows"},
	{`\bsays whether\b`, "reports whether"},
	{`\b(lays|laid) (on|onto|over|into|next|behind)\b`, "puts, writes"},
	{`\b(lies|lie|lay) (in|on|at|below|under|behind|between|next|elsewhere)\b`, "is, is stored"},
	{`\bstands? (in|on|at|below|above|behind|next|there)\b`, "is"},
	{`\b(can|cannot|could|may|to|not) be had\b`, "is available"},
	{`\bbut for\b`, "except for"},
	{`\bcomes? true\b`, "holds, happens"},
	{`\bmend(s|ed|ing)?\b`, "repair, fix, correct"},
	{`\b(anew|beside)\b`, "again; next to"},
	{`\b[Ww]hoever\b`, "a noun: the user, the caller"},
	{`\bdearer?\b`, "expensive"},
	{`["; ]say [a-z0-9]+=`, "use, give, set"},
	{`\b(says|tells|heard)\b`, "reports, shows, prints, returns"},
	{`\| +\w+ gives (the|a|an|every|all|nil)\b`, "returns"},
	{`\b(no|a|has|have|had) room\b|\broom for\b`, "space, capacity"},
	{`\bin vain\b`, "without success"},
	{`[^e] is no (number|size|range|directory|file|version|address|port|key|config|hash|name|path|part|source)\b`, "is not a"},
}

var misused = func() *regexp.Regexp {
	var all []string
	for _, w := range words {
		all = append(all, w.bad)
	}
	return regexp.MustCompile(strings.Join(all, "|"))
}()

// prose gives the comments and the literals of a Go file, comments that go on over lines as one;
// the whole text of any other file.
func prose(name string, text []byte) string {
	if strings.HasSuffix(name, ".md") {
		text = fence.ReplaceAll(text, []byte("|")) // words that are quoted as code
	}
	if !strings.HasSuffix(name, ".go") {
		return strings.Join(strings.Fields(string(text)), " ")
	}
	var b strings.Builder
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile(name, set.Base(), len(text))
	s.Init(file, text, nil, scanner.ScanComments)
	for last := 0; ; {
		at, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return b.String()
		case token.COMMENT, token.STRING:
			line := file.Line(at)
			if kind == token.STRING || line != last+1 {
				b.WriteString(" | ")
			}
			last = line
			b.WriteString(" " + strings.TrimSpace(strings.TrimPrefix(literal, "//")))
		}
	}
}

// misworded lists the words of a file that it should not use.
func misworded(name string, text []byte) (found []string) {
	for _, bad := range misused.FindAllString(prose(name, text), -1) {
		for _, w := range words {
			if regexp.MustCompile(w.bad).MatchString(bad) {
				found = append(found, bad+" (instead: "+w.good+")")
				break
			}
		}
	}
	return found
}

func TestWords(t *testing.T) {
	for _, name := range tracked(t, "*.go", "*.md", "*.yaml", "*.sh", "Makefile") {
		if name == "qemu/words_test.go" || name == "docs/PROOF.md" {
			continue // this list; a table of what was seen
		}
		text, err := os.ReadFile(name)
		if err != nil {
			continue // deleted in the work tree
		}
		for _, w := range misworded(name, text) {
			t.Errorf("%s: %s", name, w)
		}
	}
	// Code may use any name; a sentence may go over the end of a line.
	got := misworded("x.go", []byte("package x\n\n// F is\n// told. G lies in X.\nvar told, lies = 1, \"say a=b\"\n"))
	if len(got) != 3 {
		t.Errorf("got %q, want is told, lies in and say a=", got)
	}
}
