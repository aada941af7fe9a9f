package qemu

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a command needs to read a command line, to wire packages together and to print. A file
// that needs more, such as a socket, a process or a hash, has logic that belongs into a package.
var cmdImports = []string{"bufio", "bytes", "cmp", "context", "encoding/json", "errors", "fmt", "io", "io/fs", "os", "os/signal", "path/filepath", "regexp", "runtime/debug",
	"slices", "strconv", "strings", "sync", "syscall", "text/tabwriter", "time", "unicode/utf8",
	"aead.dev/minisign", "golang.org/x/sys/unix", "golang.org/x/term", "github.com/schollz/progressbar/v3"}

// cmdCalls are functions of package os that change files, which is never wiring.
var cmdCalls = []string{"Chmod", "Chown", "Chtimes", "Create", "CreateTemp", "Link", "Mkdir", "MkdirAll", "MkdirTemp", "OpenFile", "Remove", "RemoveAll", "Rename", "StartProcess", "Symlink", "Truncate", "WriteFile"}

// The longest function, in lines: one that prints a screen of text. Tables of verbs do not count.
const cmdLines = 70

// logicOf lists what a file below cmd/ has that is no reading of command lines, wiring or printing.
func logicOf(name string, text []byte) (bad []string, err error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, 0)
	if err != nil {
		return nil, err
	}
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(path, "imgbuild/") && !slices.Contains(cmdImports, path) || path == "imgbuild/init/contract/atomicfile" {
			bad = append(bad, "it imports "+path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains(cmdCalls, n.Sel.Name) {
				bad = append(bad, "it calls os."+n.Sel.Name)
			}
		case *ast.FuncDecl:
			table := n.Type.Results != nil && len(n.Body.List) > 0 && strings.HasSuffix(set.Position(n.Pos()).Filename, "verbs.go")
			if lines := set.Position(n.End()).Line - set.Position(n.Pos()).Line; lines > cmdLines && !table {
				bad = append(bad, n.Name.Name+" has "+strconv.Itoa(lines)+" lines")
			}
		}
		return true
	})
	return bad, nil
}

// TestNoLogicInCommands: a file below cmd/ reads command lines, wires packages and prints; what it
// is about lives in a package, with tests.
func TestNoLogicInCommands(t *testing.T) {
	files := tracked(t, "cmd/imgbuild/*.go", "cmd/init/*.go", "cmd/shelf/*.go")
	if len(files) < 30 {
		t.Fatalf("got %d files, want the 30 and more that there are", len(files))
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil || strings.HasSuffix(name, "_test.go") {
			continue // deleted in the work tree, or a test
		}
		bad, err := logicOf(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bad {
			t.Errorf("%s: %s: move it to the package that owns the subject", name, b)
		}
	}
	const other = "package main\nimport (\"net\"; \"os\"; \"imgbuild/init/contract/atomicfile\")\nfunc f() { os.WriteFile(\"a\", nil, 0); net.Dial(\"\", \"\"); atomicfile.Write(\"a\", nil, 0) }\nfunc g() {\n"
	bad, err := logicOf("x.go", []byte(other+strings.Repeat("f()\n", cmdLines)+"}\n"))
	if want := "it imports net, it imports imgbuild/init/contract/atomicfile, it calls os.WriteFile, g has 71 lines"; err != nil || strings.Join(bad, ", ") != want {
		t.Errorf("got %q, %v, want %s", bad, err, want)
	}
}
