package guard

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestGo(t *testing.T) {
	type reported struct {
		value any
		stack string
	}
	got := make(chan reported, 1)
	Handle(func(v any, stack []byte) { got <- reported{v, string(stack)} })
	defer handler.Store(nil)
	Go(func() { broken(nil) })
	if g := <-got; !strings.Contains(g.stack, "guard.broken") {
		t.Errorf("%v\n%s", g.value, g.stack)
	}
	done := make(chan struct{})
	Go(func() { close(done) })
	<-done
	if len(got) != 0 {
		t.Errorf("called with %v", <-got)
	}
}

func TestWithoutHandler(t *testing.T) {
	defer func() {
		if v := recover(); v != "as it was" {
			t.Errorf("the panic became %v, want %q", v, "as it was")
		}
	}()
	func() {
		defer Catch()
		panic("as it was")
	}()
}

//go:noinline
func broken(p *int) int { return *p }

// TestEveryGoroutine reads the whole of init/: a go statement outside this package, and a function
// that begins a goroutine in another way without defer guard.Catch(), would leave PID 1 open to a
// panic. init/contract is left out: its codecs run on the laptop too, and know nothing of PID 1.
func TestEveryGoroutine(t *testing.T) {
	for _, at := range unguarded(t, "../..") {
		t.Errorf("%s: start it with guard.Go, or begin the function with defer guard.Catch()", at)
	}
}

func TestUnguarded(t *testing.T) {
	if got := unguarded(t, "testdata"); strings.Join(got, " ") != "testdata/bad.go:10 testdata/bad.go:11 testdata/bad.go:12" {
		t.Errorf("found %q", got)
	}
}

// unguarded lists the places in the Go files below dir, tests and this package excepted.
func unguarded(t *testing.T, dir string) (places []string) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == filepath.Join(dir, "base", "guard") || path == filepath.Join(dir, "contract") || d.Name() == "testdata" && path != dir) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				places = append(places, place(files, n))
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && starts(s) && len(n.Args) > 0 && !catches(n.Args[len(n.Args)-1]) {
					places = append(places, place(files, n))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

func place(files *token.FileSet, n ast.Node) string {
	p := files.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// starts reports whether a call begins a goroutine: X.Go, as of a WaitGroup, time.AfterFunc,
// context.AfterFunc.
func starts(s *ast.SelectorExpr) bool {
	if x, ok := s.X.(*ast.Ident); ok && x.Name == "guard" {
		return false
	}
	return s.Sel.Name == "Go" || s.Sel.Name == "AfterFunc"
}

// catches reports whether an argument is a function that begins with defer guard.Catch().
func catches(arg ast.Expr) bool {
	f, ok := arg.(*ast.FuncLit)
	if !ok || len(f.Body.List) == 0 {
		return false
	}
	d, ok := f.Body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	s, ok := d.Call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "guard" && s.Sel.Name == "Catch"
}
