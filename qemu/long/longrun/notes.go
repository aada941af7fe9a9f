package longrun

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Notes are the results of a run, kept until the run has come to its end: a file with a line of
// JSON for each, after one with their commit.
type Notes[R any] struct {
	Done []R // those of earlier runs, then those of Add
	file *os.File
}

type head struct{ Commit string }

// Resume opens the notes that an earlier run of the same commit left under key, and prints that, or
// begins new ones. key names what was asked for: seed and count for example. A line that was cut
// off in the middle is left out and done again.
func Resume[R any](r *Run, key string) (*Notes[R], error) {
	path := filepath.Join(r.Dir, "results-"+url.PathEscape(key)+".jsonl")
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	n := &Notes[R]{}
	var of head
	keep := 0 // bytes that are understood
	for at := 0; ; {
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 {
			break
		}
		line := text[at : at+end]
		if at == 0 {
			if json.Unmarshal(line, &of) != nil || of.Commit != r.Commit {
				break
			}
		} else {
			var one R
			if json.Unmarshal(line, &one) != nil {
				break
			}
			n.Done = append(n.Done, one)
		}
		at += end + 1
		keep = at
	}
	if n.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if err = n.file.Truncate(int64(keep)); err == nil && keep == 0 {
		err = n.line(head{r.Commit})
	}
	if err != nil {
		n.file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.notes = true
	if len(n.Done) > 0 {
		r.Say("%d results are there already; for a new start remove %s", len(n.Done), path)
	}
	return n, nil
}

// Add keeps a result.
func (n *Notes[R]) Add(one R) error {
	n.Done = append(n.Done, one)
	return n.line(one)
}

func (n *Notes[R]) line(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = n.file.Write(append(text, '\n'))
	}
	return err
}

// Close leaves the notes for the next run.
func (n *Notes[R]) Close() error { return n.file.Close() }

// Over removes them: the run has come to its end, and the next one is a new one.
func (n *Notes[R]) Over() error { return errors.Join(n.file.Close(), os.Remove(n.file.Name())) }
