package longrun

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

func TestParse(t *testing.T) {
	all := Command{Name: "all", Only: "NAME", Seed: "SEED", N: "NODES", Minutes: "TOTAL", Default: Options{Seed: 1, N: 3, Minutes: 30}}
	some := Command{Name: "some", Only: "PART", Choices: []string{"build", "boot"}, N: "RUNS", Default: Options{N: 5}}
	for _, c := range []struct {
		command Command
		words   string
		want    Options
		err     string
	}{
		{all, "", Options{Seed: 1, N: 3, Minutes: 30}, ""},
		{all, "minutes=0.5 only=a=b seed=18446744073709551615 n=1", Options{Only: "a=b", Seed: 18446744073709551615, N: 1, Minutes: 0.5}, ""},
		{all, "only=", Options{Seed: 1, N: 3, Minutes: 30}, ""},
		{some, "only=boot", Options{Only: "boot", N: 5}, ""},
		{some, "against=HEAD~1", Options{}, "against= means nothing to some"},
		{Command{Name: "two", Against: "COMMIT"}, "against=HEAD~1", Options{Against: "HEAD~1"}, ""},
		{some, "only=node", Options{}, "only=node is none of build, boot"},
		{some, "seed=1", Options{}, "seed= means nothing to some; make some takes only=PART, n=RUNS"},
		{all, "n", Options{}, `"n" is not understood; make all takes only=NAME, seed=SEED, n=NODES, minutes=TOTAL`},
		{all, "node=1", Options{}, `"node=1" is not understood`},
		{all, "N=1", Options{}, `"N=1" is not understood`},
		{all, "n=2 n=3", Options{}, "n= is given twice"},
		{all, "n=0", Options{}, "n=0 is not a number from 1 to"},
		{all, "n=1.5", Options{}, "n=1.5 is not a number from 1 to"},
		{all, "n=", Options{}, "n= is not a number from 1 to"},
		{all, "n=2000000", Options{}, "n=2000000 is not a number from 1 to"},
		{all, "seed=-1", Options{}, "seed=-1 is not a number from 0 on"},
		{all, "minutes=0", Options{}, "minutes=0 is not a time above 0"},
		{all, "minutes=NaN", Options{}, "minutes=NaN is not a time above 0"},
		{all, "minutes=Inf", Options{}, "minutes=Inf is not a time above 0"},
		{all, "minutes=5m", Options{}, "minutes=5m is not a time above 0"},
	} {
		got, err := c.command.Parse(strings.Fields(c.words))
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s: got %+v, %v", c.words, got, err)
		case c.err != "" && (fault.Code(err) != int(fault.Usage) || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %v", c.words, err)
		}
	}
}

// one is a result as commands have it.
type one struct {
	Number int
	Bad    []string
}

// The head and the end of every command hold the same things, and failures are an error.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	c := Command{Name: "x", N: "TIMES", Seed: "SEED", Default: Options{Seed: 7, N: 2}, Do: func(_ context.Context, r *Run) error {
		r.Head("%d times", r.N)
		r.Say("number %d", 1)
		return r.End(1, "times %d", r.N)
	}}
	if err := c.Run(t.Context(), nil, &out); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("got %v", err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "date 20") || !strings.Contains(lines[0], ", commit ") || !strings.HasSuffix(lines[0], ", seed 7, 2 times") ||
		lines[1] != "  number 1" || lines[2] != "times 2; failures: 1" {
		t.Errorf("got %q", lines)
	}
	out.Reset()
	c.Seed, c.Do = "", func(_ context.Context, r *Run) error { r.Head("once"); return r.End(0, "times 1") }
	if err := c.Run(t.Context(), nil, &out); err != nil || !strings.Contains(out.String(), ", seed none, once\ntimes 1; failures: 0\n") {
		t.Errorf("got %v, %q", err, out.String())
	}
	if err := c.Run(t.Context(), []string{"seed=1"}, &out); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %v", err)
	}
}

// Steps done before an interruption are not done again, and a run that came to its end begins
// again.
func TestResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	var did []int
	stopAt := 2
	ctx, cancel := context.WithCancel(t.Context())
	c := Command{Name: "x", Do: func(ctx context.Context, r *Run) error {
		r.Dir = dir
		notes, err := Resume[one](r, "1-a/b")
		if err != nil {
			return err
		}
		defer notes.Close()
		for i := len(notes.Done); i < 4; i++ {
			if i == stopAt {
				cancel()
				return errors.New("qemu: killed")
			}
			did = append(did, i)
			if err := notes.Add(one{i, []string{"a"}}); err != nil {
				return err
			}
		}
		if notes.Done[3].Number != 3 || !reflect.DeepEqual(notes.Done[0], one{0, []string{"a"}}) {
			t.Errorf("%+v", notes.Done)
		}
		return notes.Over()
	}}
	var out bytes.Buffer
	if err := c.Run(ctx, nil, &out); fault.Code(err) != int(fault.Interrupted) || !strings.Contains(err.Error(), "the same command goes on") {
		t.Errorf("got %v", err)
	}
	stopAt = -1
	if err := c.Run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(did, []int{0, 1, 2, 3}) || !strings.Contains(out.String(), "2 results are there already") {
		t.Errorf("did %v, printed %q", did, out.String())
	}
	if err := c.Run(t.Context(), nil, &out); err != nil || len(did) != 8 {
		t.Errorf("%v, did %v, want length 8", err, did)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v, want length 0", left)
	}
}

// Notes of another commit are not believed, and a line that was cut off is done again.
func TestNotesAreCut(t *testing.T) {
	r := &Run{Commit: "a", Dir: t.TempDir(), Out: &bytes.Buffer{}}
	path := filepath.Join(r.Dir, "results-k.jsonl")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		commit, text string
		want         int
		after        string
	}{
		{"a", "", 0, `{"Commit":"a"}`},
		{"a", `{"Commit":"a"}` + "\n" + `{"Number":1}` + "\n" + `{"Num`, 1, `{"Commit":"a"}` + "\n" + `{"Number":1}`},
		{"b", `{"Commit":"a"}` + "\n" + `{"Number":1}` + "\n", 0, `{"Commit":"b"}`},
		{"a", "rubbish\n" + `{"Number":1}` + "\n", 0, `{"Commit":"a"}`},
		{"a", `{"Commit":"a"}` + "\nrubbish\n" + `{"Number":1}` + "\n", 0, `{"Commit":"a"}`},
	} {
		write(c.text)
		r.Commit = c.commit
		n, err := Resume[one](r, "k")
		if err != nil || len(n.Done) != c.want {
			t.Fatalf("%q: %+v, %v", c.text, n, err)
		}
		if err := errors.Join(n.Add(one{Number: 9}), n.Close()); err != nil {
			t.Error(err)
		}
		if got, _ := os.ReadFile(path); string(got) != c.after+"\n"+`{"Number":9,"Bad":null}`+"\n" {
			t.Errorf("%q became %q", c.text, got)
		}
	}
}
