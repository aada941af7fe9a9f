package qemu

import (
	"bufio"
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// tracked lists the files of the project that git knows and that match a pattern, from the
// project's top folder.
func tracked(t *testing.T, patterns ...string) []string {
	t.Helper()
	t.Chdir("..")
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"ls-files", "--"}, patterns...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

var (
	fence  = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	link   = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	header = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	marks  = regexp.MustCompile(`[^\pL\pN _-]`)
)

// anchors are the names that GitHub gives to the headings of a page: lower case, without marks,
// blanks as dashes.
func anchors(text []byte) map[string]bool {
	all := map[string]bool{}
	for _, m := range header.FindAllSubmatch(text, -1) {
		all[strings.ReplaceAll(marks.ReplaceAllString(strings.ToLower(string(m[1])), ""), " ", "-")] = true
	}
	return all
}

// broken lists the links of a page to files or headings that are not there.
func broken(page string, text []byte) (bad []string) {
	for _, m := range link.FindAllSubmatch(fence.ReplaceAll(text, nil), -1) {
		u, err := url.Parse(string(m[1]))
		if err != nil {
			bad = append(bad, string(m[1]))
			continue
		}
		if u.Scheme != "" {
			continue
		}
		target := text
		if u.Path != "" {
			name := filepath.Join(filepath.Dir(page), u.Path)
			info, err := os.Stat(name)
			if err != nil {
				bad = append(bad, string(m[1]))
				continue
			}
			if info.IsDir() {
				continue
			}
			if target, err = os.ReadFile(name); err != nil {
				bad = append(bad, string(m[1]))
				continue
			}
		}
		if u.Fragment != "" && !anchors(target)[u.Fragment] {
			bad = append(bad, string(m[1]))
		}
	}
	return bad
}

func TestLinksInDocs(t *testing.T) {
	pages := tracked(t, "README.md", "docs/*.md")
	if len(pages) < 10 {
		t.Fatalf("got %d pages", len(pages))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range broken(page, text) {
			t.Errorf("%s: %s leads nowhere", page, b)
		}
	}
	if got := broken("README.md", []byte("# A b\n[x](docs/none.md) [y](#a-b) [z](#c) [u](https://example.com/) `[v](w)` [l](LICENSE)")); fmt.Sprint(got) != "[docs/none.md #c]" {
		t.Errorf("got %q", got)
	}
}

var hostName = regexp.MustCompile(`[a-z0-9-]+(\.[a-z0-9-]+)+\.?(com|org|net|io)\b`)

// registries are the hosts that this machine fetches packages and modules from. They change from
// machine to machine, so no tracked file may depend on one.
func registries(t *testing.T) map[string]bool {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		t.Fatal(err)
	}
	lists, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, name := range append(lists, "/etc/apt/sources.list") {
		data, _ := os.ReadFile(name)
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if strings.HasPrefix(s.Text(), "deb") || strings.HasPrefix(s.Text(), "URIs:") {
				text = append(append(text, s.Bytes()...), '\n')
			}
		}
	}
	hosts := map[string]bool{}
	for _, h := range hostName.FindAllString(string(text), -1) {
		hosts[h] = true
	}
	return hosts
}

func TestNoRegistryHosts(t *testing.T) {
	hosts := registries(t)
	if len(hosts) == 0 {
		t.Log("this machine names no registry: nothing to look for") // GOPROXY=off, and no Debian
	}
	for _, name := range tracked(t, "*") {
		if name == "go.sum" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a link, or deleted in the work tree
		}
		for host := range hosts {
			if bytes.Contains(text, []byte(host)) {
				t.Errorf("%s names the registry %s", name, host)
			}
		}
	}
}

// commentWidth is the widest that a line of comment may be, in columns; a tab is four.
const commentWidth = 100

// TestCommentWidth leaves out code and tables in comments, which begin with a tab, and comments
// next to code.
func TestCommentWidth(t *testing.T) {
	for _, name := range tracked(t, "*.go") {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // deleted in the work tree
		}
		for i, line := range strings.Split(string(text), "\n") {
			trimmed := strings.TrimLeft(line, "\t")
			if !strings.HasPrefix(trimmed, "// ") || !strings.Contains(trimmed[3:], " ") {
				continue // a long word, such as an address, cannot be folded
			}
			if w := utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    ")); w > commentWidth {
				t.Errorf("%s:%d: got a comment of %d columns, want at most %d", name, i+1, w, commentWidth)
			}
		}
	}
}
