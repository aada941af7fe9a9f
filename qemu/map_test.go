package qemu

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	code   = regexp.MustCompile("`([^`\n]+)`")
	place  = regexp.MustCompile(`^(boards|builder|cmd|docs|findings|images|init|overlays|qemu)/[a-z0-9_./-]+$`)
	target = regexp.MustCompile(`(?m)^([a-z-]+):`)
	asked  = regexp.MustCompile(`(?m)(?:^|[\x60(;] ?)make ([a-z-]+)`)
)

// TestPlacesInDocs: files, packages and make targets that the documentation names exist.
func TestPlacesInDocs(t *testing.T) {
	pages := tracked(t, "README.md", "docs/*.md")
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range target.FindAllSubmatch(makefile, -1) {
		targets = append(targets, string(m[1]))
	}
	places := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllSubmatch(text, -1) {
			for _, word := range strings.Fields(string(m[1])) {
				if word = strings.TrimSuffix(word, "/..."); !place.MatchString(word) {
					continue // a pattern, a placeholder, a test of a package
				}
				places++
				if _, err := os.Stat(word); err != nil {
					t.Errorf("%s names %s, which does not exist", page, word)
				}
			}
		}
		for _, m := range asked.FindAllSubmatch(text, -1) {
			if !slices.Contains(targets, string(m[1])) {
				t.Errorf("%s names make %s; the targets are %q", page, m[1], targets)
			}
		}
	}
	if places < 50 {
		t.Errorf("got %d places in the pages, want the 50 and more that there are", places)
	}
}

// TestArchitectureIsWhole: docs/architecture.md has a row for every folder of the first two levels.
func TestArchitectureIsWhole(t *testing.T) {
	var folders []string
	for _, name := range tracked(t, "*.go") {
		dir := strings.Split(filepath.ToSlash(filepath.Dir(name)), "/")
		folders = append(folders, strings.Join(dir[:min(len(dir), 2)], "/"))
	}
	slices.Sort(folders)
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range slices.Compact(folders) {
		if f != "." && f != "qemu" && f != "boards" && f != "images" && f != "overlays" && !strings.Contains(string(text), "`"+f+"`") {
			t.Errorf("docs/architecture.md does not name `%s`", f)
		}
	}
}
