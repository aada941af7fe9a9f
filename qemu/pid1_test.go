package qemu

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The bounds of PID 1: methods of one type, and lines of package boot without tests.
const (
	mostMethods = 30
	bootLines   = 1000
)

// receiver returns the name and the type of a method's receiver; empty for a function.
func receiver(f *ast.FuncDecl) (name, kind string) {
	if f.Recv == nil || len(f.Recv.List) != 1 {
		return "", ""
	}
	if names := f.Recv.List[0].Names; len(names) == 1 {
		name = names[0].Name
	}
	return name, typeName(f.Recv.List[0].Type)
}

// typeName returns the name of a type or of what it points to, "" for any other.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// guarded reports whether a struct has a mutex among its fields.
func guarded(s *ast.StructType) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		sel, ok := f.Type.(*ast.SelectorExpr)
		return ok && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex")
	})
}

// mentions reports whether a piece of code refers to a variable of this name.
func mentions(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return !found
	})
	return found
}

// assigned lists the fields of a variable that a function assigns to.
func assigned(f *ast.FuncDecl, name string) (fields []string) {
	note := func(e ast.Expr) {
		if sel, ok := e.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
				fields = append(fields, sel.Sel.Name)
			}
		}
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				note(e)
			}
		case *ast.IncDecStmt:
			note(n.X)
		}
		return true
	})
	return fields
}

// shared lists what a package does with fields that several goroutines may reach, other than by the
// type of the field. own names the types that belong to one goroutine: no function literal may
// refer to a variable of these, because another goroutine may run it. A method of any other type
// assigns to fields only where the type has a mutex.
func shared(files []*ast.File, own ...string) (bad []string) {
	locked, pointer := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if t, ok := s.(*ast.TypeSpec); ok {
						if st, ok := t.Type.(*ast.StructType); ok {
							locked[t.Name.Name] = guarded(st)
						}
					}
				}
			case *ast.FuncDecl:
				if _, kind := receiver(d); kind != "" {
					_, is := d.Recv.List[0].Type.(*ast.StarExpr)
					pointer[kind] = pointer[kind] || is
				}
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			name, kind := receiver(f)
			params := f.Type.Params.List
			if kind == "" && len(params) > 0 && len(params[0].Names) > 0 && slices.Contains(own, typeName(params[0].Type)) {
				name, kind = params[0].Names[0].Name, typeName(params[0].Type)
			}
			switch {
			case name == "":
			case slices.Contains(own, kind):
				ast.Inspect(f.Body, func(n ast.Node) bool {
					if l, ok := n.(*ast.FuncLit); ok && mentions(l.Body, name) {
						bad = append(bad, fmt.Sprintf("%s: a function literal refers to %s, a %s", f.Name.Name, name, kind))
					}
					return true
				})
			case pointer[kind] && !locked[kind]:
				for _, field := range assigned(f, name) {
					bad = append(bad, fmt.Sprintf("%s assigns to %s.%s, which no mutex guards", f.Name.Name, kind, field))
				}
			}
		}
	}
	return bad
}

// oneGoroutine are the types of PID 1 whose fields change while one goroutine uses them.
var oneGoroutine = map[string][]string{
	"init/boot":          {"Node"},
	"init/start/preinit": {"State"},
}

// PID 1 stays in small pieces, and what its goroutines share is safe by its type.
func TestPID1(t *testing.T) {
	packages, methods, lines := map[string][]*ast.File{}, map[string]int{}, 0
	fset := token.NewFileSet()
	for _, name := range tracked(t, "init/boot/*.go", "init/start/*.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			continue // deleted in the work tree
		}
		f, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(name)
		packages[dir] = append(packages[dir], f)
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if _, kind := receiver(f); kind != "" {
					methods[dir+"."+kind]++
				}
			}
		}
		if dir == "init/boot" {
			lines += bytes.Count(text, []byte("\n"))
		}
	}
	if len(packages) < 10 || lines == 0 {
		t.Fatalf("got %d packages, %d lines of boot", len(packages), lines)
	}
	for kind, n := range methods {
		if n > mostMethods {
			t.Errorf("%s has %d methods, want %d at most", kind, n, mostMethods)
		}
	}
	if lines > bootLines {
		t.Errorf("package boot has %d lines, want %d at most", lines, bootLines)
	}
	for dir, files := range packages {
		for _, bad := range shared(files, oneGoroutine[dir]...) {
			t.Errorf("%s: %s", dir, bad)
		}
	}
}

func TestShared(t *testing.T) {
	const text = `package x

type a struct{ n int }
func (a *a) f() { a.n++ }
type b struct{ mu sync.Mutex; n int }
func (b *b) f() { b.n = 1 }
type c struct{ n int }
func (c *c) f() { c.n = 1; m := c.n; go func() { println(m) }() }
func g(c *c) { go func() { println(c.n) }() }
type d struct{ n int }
func (d d) f() { d.n = 1 }
`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := shared([]*ast.File{f}, "c")
	want := []string{"f assigns to a.n, which no mutex guards", "g: a function literal refers to c, a c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
