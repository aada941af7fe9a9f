package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/status"
	"imgbuild/init/status/monitor"
)

// hostile are bytes that a service may put into its name and its output.
const hostile = "\x1b[2J\x1b]0;title\a\x9b31m\u009b1m\u202eexe\x7f\x00\tcell\nline\xff"

func raw(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r <= 0x9f || r == 0x202e })
}

// TestTablesAreSafe: no name and no detail of a service controls the terminal on which a table is
// shown, moves its columns or adds a row.
func TestTablesAreSafe(t *testing.T) {
	services := servicesTable(status.Status{Services: []status.Service{{Name: hostile, Phase: hostile, Detail: hostile}, {Name: "sshd", Phase: "up"}}})
	usage := topTable([]monitor.Used{{Usage: monitor.Usage{Name: hostile}}, {Usage: monitor.Usage{Name: "sshd"}}})
	for name, rows := range map[string][][]string{"services": services, "top": usage} {
		var b bytes.Buffer
		if err := writeTable(&b, rows); err != nil {
			t.Fatal(err)
		}
		if raw(b.String()) {
			t.Errorf("%s: %q", name, b.String())
		}
		if got := strings.Count(b.String(), "\n"); got != len(rows) {
			t.Errorf("%s: got %d lines, want %d:\n%s", name, got, len(rows), b.String())
		}
		if !strings.Contains(b.String(), `\x1b[2J`) || !strings.Contains(b.String(), `\tcell\nline`) {
			t.Errorf("%s does not show what it was given:\n%s", name, b.String())
		}
	}
}

// TestJSONIsSafe: JSON is safe to show as well, and means the same.
func TestJSONIsSafe(t *testing.T) {
	want := strings.ToValidUTF8(hostile, "\ufffd")
	for _, indent := range []string{"", "\t"} {
		var b bytes.Buffer
		if err := writeJSON(&b, map[string]string{"a": want, "b": "<ä€>"}, indent); err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(b.String(), "\n\t", "\n"); raw(text) || !strings.Contains(text, "<ä€>") {
			t.Errorf("%q", text)
		}
		var got map[string]string
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["a"] != want {
			t.Errorf("got %q, %v, want %q", got["a"], err, want)
		}
	}
}

// TestOneWayOut: nothing but out.go prints to standard output, so that nothing gets past it.
func TestOneWayOut(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	// What may: a stream of bytes that is not a text (support -, upgrade --stdin), help, and a
	// width that is asked for.
	allowed := map[string]int{"support.go": 1, "verbs.go": 1, "status.go": 2, "logs.go": 1, "upgrade.go": 3, "firmware.go": 1}
	for _, name := range files {
		if name == "out.go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && (x.Name == "os" && s.Sel.Name == "Stdout" || x.Name == "fmt" && strings.HasPrefix(s.Sel.Name, "Print")) {
					found++
				}
			}
			return true
		})
		if found != allowed[name] {
			t.Errorf("%s prints in %d places past out.go, want %d", name, found, allowed[name])
		}
	}
}
