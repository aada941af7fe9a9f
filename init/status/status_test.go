package status

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the table of docs/shelf.md")

// U-Boot's reason is not hidden by the data partition's.
func TestLastEnd(t *testing.T) {
	const cut = "no orderly shutdown: the power went, or the watchdog reset the board"
	for _, c := range [][3]string{
		{"", "", ""}, {"", "power", "power"}, {"reboot", "reboot", "reboot"}, {cut, "reboot", cut},
		{"data disk move", "data-disk-move", "data disk move"}, {"reboot", "rescue-done", "rescue-done"}, {"reboot", "", "reboot"}, {"reboot", "slot-a-did-not-load", "reboot; the boot record has slot-a-did-not-load"},
		{cut, "trial-b-exhausted", cut + "; the boot record has trial-b-exhausted"},
		{cut, "slot-a-did-not-load", cut + "; the boot record has slot-a-did-not-load"},
		{cut, "layout-failed", cut + "; the boot record has layout-failed"},
		{cut, "verity-block-7", cut + "; the boot record has verity-block-7"},
		{"panic: index out of range", "panic", "panic: index out of range"},
	} {
		if got := LastEnd(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: %q", c[0], c[1], got)
		}
	}
}

// Scripts read the status as JSON: docs/shelf.md names every field of it, and none goes away or
// changes its type unnoticed.
func TestStatusDocs(t *testing.T) {
	var lines []string
	var walk func(path string, kind reflect.Type, maybe bool)
	walk = func(path string, kind reflect.Type, maybe bool) {
		text := ""
		switch {
		case kind == reflect.TypeFor[time.Time]():
			text = "time"
		case kind.Kind() == reflect.Pointer:
			walk(path, kind.Elem(), true)
			return
		case kind.Kind() == reflect.Slice:
			walk(path+"[]", kind.Elem(), maybe)
			return
		case kind.Kind() == reflect.Struct:
			for i := range kind.NumField() {
				f := kind.Field(i)
				name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "-" {
					continue
				}
				if name == "" || strings.ToLower(name) != name {
					t.Errorf("%s: the field %s has no name of its own in JSON", path, f.Name)
				}
				walk(strings.TrimPrefix(path+"."+name, "."), f.Type, maybe || strings.HasPrefix(options, "omit"))
			}
			return
		case kind.Kind() == reflect.Bool:
			text = "true or false"
		case kind.Kind() == reflect.String:
			text = "text"
		case slices.Contains([]reflect.Kind{reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64}, kind.Kind()):
			text = "number"
		default:
			t.Fatalf("%s is a %v", path, kind)
		}
		if maybe {
			text += ", if known"
		}
		lines = append(lines, fmt.Sprintf("| `%s` | %s |\n", path, text))
	}
	walk("", reflect.TypeFor[Status](), false)
	const file = "../../docs/shelf.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "| field | what |\n|---|---|\n")
	_, tail, ok2 := strings.Cut(rest, "\n\n")
	if !ok || !ok2 {
		t.Fatal("docs/shelf.md has no table of the status")
	}
	want := head + "| field | what |\n|---|---|\n" + strings.Join(lines, "") + "\n" + tail
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("docs/shelf.md does not have the status as it is; if the change does not break scripts, run: go test ./init/status -run TestStatusDocs -update")
	}
}

func TestBooted(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 0, 0, 0, time.FixedZone("", 3600))
	if got, want := Booted(at, true), "2026-11-22 17:00:00 UTC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := Booted(at, false), "2026-11-22 17:00:00 UTC by the node's own clock; no time server has confirmed it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
