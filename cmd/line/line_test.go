package line

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"imgbuild/init/contract/fault"
)

// sample is a program with a verb of each kind.
func sample() *Program {
	return &Program{Name: "prog", Summary: "prog does it.", Usage: "prog [verb] [key=value...]", Default: "make", More: strings.Repeat("Exit codes are many. ", 20),
		Verbs: []Verb{
			{Name: "make", Summary: "Make 'it': " + strings.Repeat("long words ", 30), Keys: []Key{{Name: "board", Value: "NAME", Words: []string{"b1", "b2"}, Doc: "The board's name."},
				{Name: "quick", Value: "yes|no", Doc: "Now."}, Output}, Examples: []string{"prog board=b1"}},
			{Name: "logs", Operands: "[NAME]", Words: "$(echo unit1 unit2)", Summary: "Logs.", Keys: []Key{{Name: "follow", Short: "f", Flag: true, Value: "yes|no", Doc: "On."},
				{Name: "lines", Short: "n", Value: "LINES", Doc: "How many."}, Output}},
			{Name: "end", Operands: "[REASON...]", Summary: "End.", Lax: true},
			{Name: "config", Operands: "[--dump] | apply FILE", Words: "apply", Summary: "Config.", Keys: []Key{{Name: "dump", Flag: true, Value: "yes|no", Doc: "Show."}}},
			{Name: "node", Operands: "HOST VERB [WORD...]", Summary: "Ask.", Keys: []Key{{Name: "user", Value: "NAME", Doc: "Who."}}, Through: []string{"status", "logs"}},
			Completion("prog"),
		}}
}

// shown is a command line as it was understood.
func shown(a *Args) string {
	if a.Verb == nil {
		return strings.TrimSpace("help " + strings.Join(a.Operands, " "))
	}
	words := append([]string{a.Verb.Name}, a.Operands...)
	for _, k := range slices.Sorted(maps.Keys(a.Values)) {
		words = append(words, k+"="+a.Values[k])
	}
	return strings.Join(words, " ")
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"": "help", "help": "help", "help logs": "help logs", "logs -h": "help logs", "--help": "help",
		"board=b1":               "make board=b1",
		"board=b1 make":          "make board=b1",
		"make ":                  "make",
		"-o json board=b1":       "make board=b1 output=json",
		"logs k3s -f -n 5":       "logs k3s follow=yes lines=5",
		"logs -n5 k3s":           "logs k3s lines=5",
		"logs --lines=5 -o json": "logs lines=5 output=json",
		"logs --lines 5":         "logs lines=5",
		"logs -ojson":            "logs output=json",
		"logs --output=text":     "logs output=text",
		"logs output=json x":     "logs x output=json",
		"config --dump":          "config dump=yes",
		"config apply -":         "config apply -",
		"config ./a=b":           "config ./a=b",
		"end -f now":             "end now",
		"node h logs -f -n 5 output=json user=me --dump": "node h logs -f -n 5 output=json --dump user=me",
	} {
		a, err := sample().Parse(strings.Fields(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := shown(a); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	for in, says := range map[string]string{
		"maek": "did you mean make?", "mak": "did you mean make?", "boad=b1": "did you mean board?", "board=a board=b": "given twice", "-f logs -f": "given twice",
		"make x": "takes no", "make --board b1": "key=value", "logs -x": "no option -x", "logs -o": "needs a value", "logs -o yaml": `no output "yaml"`,
		"logs output=": `no output ""`, "end key=x": `no key "key"`, "make -f": `no key "follow"`, "node -x h status": "no option",
	} {
		a, err := sample().Parse(strings.Fields(in))
		if fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %+v %v, want a fault of kind Usage with %q", in, a, err, says)
		}
	}
}

// No line of any help is wider than the terminal, and no word is lost.
func TestHelp(t *testing.T) {
	p := sample()
	for _, width := range []int{40, 80, 120} {
		texts := map[string]string{"": p.Help(width)}
		for i := range p.Verbs {
			texts[p.Verbs[i].Name] = p.VerbHelp(&p.Verbs[i], width)
		}
		for name, text := range texts {
			for l := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > width && !strings.HasPrefix(l, "  prog") && !strings.Contains(l, "mkdir") {
					t.Errorf("help %s at %d columns: %d: %s", name, width, n, l)
				}
			}
		}
		if got, want := strings.Count(texts[""], "long words"), 30; strings.Count(strings.Join(strings.Fields(texts[""]), " "), "long words") != want {
			t.Errorf("at %d columns: got %d, want all words: %s", width, got, texts[""])
		}
		for _, want := range []string{"prog config [--dump]\nprog config apply FILE\n", "dump=yes|no, --dump"} {
			if !strings.Contains(texts["config"], want) {
				t.Errorf("%q is missing:\n%s", want, texts["config"])
			}
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text          string
		indent, width int
		want          string
	}{
		{"a b c", 0, 3, "a b\nc"}, {"a b c", 2, 5, "a b\n  c"}, {"toolongword a", 0, 4, "toolongword\na"}, {"ä ö", 0, 3, "ä ö"}, {"a\nb", 1, 9, "a\n b"}, {"", 3, 9, ""},
	} {
		if got := Fold(c.text, c.indent, c.width); got != c.want {
			t.Errorf("%q at %d to %d: got %q, want %q", c.text, c.indent, c.width, got, c.want)
		}
	}
}

// Bash takes the script, and completes verbs, keys, values and what a command gives.
func TestBash(t *testing.T) {
	for words, want := range map[string]string{
		"prog ma": "make", "prog bo": "board=", "prog make board = b": "b1 b2", "prog make quick =": "yes no", "prog logs unit": "unit1 unit2", "prog logs -": "-f -n -o",
		"prog logs -o j": "json", "prog help lo": "logs", "prog node h st": "status", "prog node h status us": "user=", "prog output = t": "text", "prog completion f": "fish",
	} {
		list := strings.Fields(words)
		script := sample().Bash() + "\nCOMP_WORDS=(" + strings.Join(list, " ") + "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); cd /; _prog 2>/dev/null; echo \"${COMPREPLY[@]}\""
		out, err := exec.Command("bash", "-c", script).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", words, got, err, want)
		}
	}
}

// Every verb and key of the table is in the other shells' completions and in the man page. A shell
// that is here reads its own.
func TestOthers(t *testing.T) {
	p := sample()
	for name, text := range map[string]string{"zsh": p.Zsh(), "fish": p.Fish(), "man": p.Man()} {
		for _, v := range p.Verbs {
			if !strings.Contains(text, v.Name) {
				t.Errorf("%s: the verb %s is missing", name, v.Name)
			}
			for _, k := range v.Keys {
				if !strings.Contains(text, k.Name+"=") {
					t.Errorf("%s: the key %s of %s is missing", name, k.Name, v.Name)
				}
			}
		}
		if name == "man" {
			continue
		}
		file := t.TempDir() + "/completion"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if shell, err := exec.LookPath(name); err == nil {
			if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s does not read it: %v\n%s\n%s", name, err, out, text)
			}
		}
	}
	for l := range strings.Lines(p.Man()) {
		if strings.HasPrefix(l, "'") || strings.HasPrefix(l, ".") && !slices.Contains([]string{".TH", ".SH", ".SS", ".TP", ".B", ".PP", ".nf", ".fi", ".br"}, strings.Fields(l)[0]) {
			t.Errorf("the man page has the request %q", l)
		}
	}
	if fmt.Sprint(p.Man()) == "" {
		t.Error("no man page")
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"board=rpi4", "help logs", "-h", "a=b c=d a=e", "logs -n 5 -f", "node h -x", "--lines= --follow=x", "-n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := sample().Parse(strings.Fields(line))
		if err != nil && fault.Code(err) != int(fault.Usage) {
			t.Fatalf("%q: %v is not a usage error", line, err)
		}
		if err == nil && a.Verb != nil {
			for name := range a.Values {
				if !slices.ContainsFunc(a.Verb.Keys, func(k Key) bool { return k.Name == name }) {
					t.Fatalf("%q: %s takes no key %s", line, a.Verb.Name, name)
				}
			}
		}
	})
}
