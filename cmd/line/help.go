package line

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Columns is the width of the terminal that f is, 80 for one that does not report it, such as a
// serial console; 0 is not a terminal.
func Columns(f *os.File) int {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return 0
	}
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || w.Col < 40 {
		return 80
	}
	return int(w.Col)
}

// PrintHelp writes the help of the program, or of the verb that the first operand names, folded to
// f's width: 80 where f is not a terminal.
func (a *Args) PrintHelp(f *os.File) error {
	width := Columns(f)
	if width == 0 {
		width = 80
	}
	text := a.Program.Help(width)
	if len(a.Operands) > 0 && a.Operands[0] != "help" {
		v := a.Program.verb(a.Operands[0])
		if v == nil {
			return NotKnown("verb", a.Operands[0], a.Program.Names())
		}
		text = a.Program.VerbHelp(v, width)
	}
	_, err := io.WriteString(f, text)
	return err
}

// Help is the list of the verbs, no line wider than width.
func (p *Program) Help(width int) string {
	var b strings.Builder
	b.WriteString(Fold(p.Summary, 0, width) + "\n\n  " + p.Usage + "\n\n")
	var rows [][2]string
	for _, v := range p.Verbs {
		rows = append(rows, [2]string{v.Name, v.Summary})
	}
	rows = append(rows, [2]string{"help [VERB]", "This text, or a verb's operands, keys and examples."})
	b.WriteString(table(rows, width) + "\n" + Fold(p.More, 0, width) + "\n")
	return b.String()
}

// VerbHelp is all about one verb.
func (p *Program) VerbHelp(v *Verb, width int) string {
	var b strings.Builder
	for _, form := range strings.Split(v.Operands, " | ") {
		b.WriteString(strings.TrimSpace(p.Name+" "+v.Name+" "+form) + "\n")
	}
	b.WriteString("\n" + Fold(v.Summary, 0, width) + "\n")
	var rows [][2]string
	for _, k := range v.Keys {
		rows = append(rows, [2]string{k.forms(), k.Doc})
	}
	if rows != nil {
		b.WriteString("\n" + table(rows, width))
	}
	if len(v.Examples) > 0 {
		b.WriteString("\nExamples:\n  " + strings.Join(v.Examples, "\n  ") + "\n")
	}
	return b.String()
}

// forms are the ways to write a key.
func (k Key) forms() string {
	text := k.Name + "=" + k.Value
	switch {
	case k.Flag && k.Short != "":
		text += ", -" + k.Short
	case k.Flag:
		text += ", --" + k.Name
	case k.Short != "":
		text += ", -" + k.Short + " " + k.Value
	}
	return text
}

// table writes rows of two columns; the first is at most a third of the width, and what is wider
// has a line of its own.
func table(rows [][2]string, width int) string {
	first := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r[0]); n <= width/3 {
			first = max(first, n)
		}
	}
	var b strings.Builder
	for _, r := range rows {
		head := "  " + r[0]
		pad := first + 4 - utf8.RuneCountInString(head)
		if pad < 1 {
			b.WriteString(head + "\n" + strings.Repeat(" ", first+4))
		} else {
			b.WriteString(head + strings.Repeat(" ", pad))
		}
		b.WriteString(Fold(r[1], first+4, width) + "\n")
	}
	return b.String()
}

// Fold breaks text at words so that no line is wider than width; the first line begins at column
// indent, and so do the others. A word that is wider stays whole. Line ends in the text stay.
func Fold(text string, indent, width int) string {
	var out strings.Builder
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			out.WriteString("\n" + strings.Repeat(" ", indent))
		}
		at := indent
		for j, word := range strings.Split(l, " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case j == 0:
			case at+1+n > width && at > indent:
				out.WriteString("\n" + strings.Repeat(" ", indent))
				at = indent
			default:
				out.WriteByte(' ')
				at++
			}
			out.WriteString(word)
			at += n
		}
	}
	return out.String()
}
