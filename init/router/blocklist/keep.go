package blocklist

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/mask"
)

// Dir is where a node keeps its lists: dnsmasq reads them as a user without rights.
const Dir = "/var/lib/blocklists"

// Times of refreshing.
const (
	week  = 7 * 24 * time.Hour
	again = time.Hour // after a failure
	slow  = 5 * time.Minute
)

// State is what the keeper knows of its lists; a file, which others may read.
type State struct {
	Lists  []List `json:"lists"`
	Names  int    `json:"names"`            // blocked, of all lists together
	Left   Left   `json:"left,omitempty"`   // when they were put together
	Sum    string `json:"sum,omitempty"`    // of the file that was made
	Merged string `json:"merged,omitempty"` // of what it was made of
}

// List is how one list is.
type List struct {
	ID      string    `json:"id"`   // of its address
	From    string    `json:"from"` // the address, without what may be a secret
	Names   int       `json:"names"`
	Left    Left      `json:"left,omitempty"`
	Fetched time.Time `json:"fetched,omitzero"` // when it was taken
	Tried   time.Time `json:"tried,omitzero"`
	Stamp   string    `json:"stamp,omitempty"`   // of a file: size and time
	Problem string    `json:"problem,omitempty"` // of the last try; what was taken before is used
}

// Keeper keeps lists below a directory: state.json, one file of names for each list, and
// blocked.conf for dnsmasq.
type Keeper struct {
	Dir     string   // absolute
	Sources []string // addresses: https URLs and absolute paths
	Ours    []string // names that are never blocked
	Client  *http.Client
	Now     func() time.Time
	Say     func(format string, a ...any)
	Limit   int // of names; MaxNames
}

// File is the file for dnsmasq's servers-file.
func File(dir string) string { return filepath.Join(dir, "blocked.conf") }

// Load reads the state below a directory; none is no error.
func Load(dir string) (s State, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

// ID names a list by its address.
func ID(source string) string {
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:8])
}

// Due reports whether a list should be read now.
func Due(s State, sources []string, now time.Time) bool {
	return slices.ContainsFunc(sources, func(source string) bool { return due(s.list(source), source, now) })
}

func (s State) list(source string) List {
	id := ID(source)
	if i := slices.IndexFunc(s.Lists, func(l List) bool { return l.ID == id }); i >= 0 {
		return s.Lists[i]
	}
	if local(source) {
		return List{ID: id, From: source}
	}
	return List{ID: id, From: mask.URL(source)}
}

func due(l List, source string, now time.Time) bool {
	switch {
	case l.Fetched.IsZero():
		return true
	case l.Problem != "":
		return now.Sub(l.Tried).Abs() >= again // a clock that was wrong counts as long ago
	case local(source):
		return stamp(source) != l.Stamp
	}
	return now.Sub(l.Fetched).Abs() >= week
}

func local(source string) bool { return strings.HasPrefix(source, "/") }

func stamp(file string) string {
	if i, err := os.Stat(file); err == nil {
		return fmt.Sprint(i.Size(), " ", i.ModTime().UnixNano())
	}
	return ""
}

// Refresh reads the lists that are due and makes dnsmasq's file; changed reports whether that is
// another one now. What is wrong with a list is in the state and no error.
func (k *Keeper) Refresh(ctx context.Context) (changed bool, err error) {
	old, err := Load(k.Dir)
	if err != nil {
		k.Say("what was kept is not used: %v", err)
		old = State{}
	}
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return false, err
	}
	s := State{Sum: old.Sum, Merged: old.Merged, Names: old.Names, Left: old.Left}
	for _, source := range k.Sources {
		l := old.list(source)
		if l.Names > 0 {
			if _, err := os.Stat(k.kept(l)); err != nil {
				l = List{ID: l.ID, From: l.From} // is read again
			}
		}
		if due(l, source, k.Now()) {
			if l = k.read(ctx, l, source); l.Problem != "" {
				k.Say("%s: %s", l.From, l.Problem)
			} else {
				k.Say("%s: %d names%s", l.From, l.Names, l.Left.Words())
			}
		}
		s.Lists = append(s.Lists, l)
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	// The names of a list are written before the state that has their number, and dnsmasq's file
	// last: whatever happens between, the next run makes it again.
	changed, err = k.merge(&s)
	if err != nil {
		return false, err
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = atomicfile.Write(filepath.Join(k.Dir, "state.json"), data, 0o644)
	}
	k.sweep(s)
	return changed, err
}

func (k *Keeper) kept(l List) string { return filepath.Join(k.Dir, l.ID+".names") }

// read reads one list. The one that was there before stays when that fails, or when the new one has
// less than half of its names.
func (k *Keeper) read(ctx context.Context, l List, source string) List {
	l.Tried, l.Problem = k.Now().Round(0), ""
	at := stamp(source)
	body, err := k.open(ctx, source)
	if err != nil {
		l.Problem = err.Error()
		return l
	}
	defer body.Close()
	names, left, err := Parse(body, k.limit())
	switch {
	case err != nil:
		l.Problem = mask.URLError(err).Error()
	case len(names) == 0:
		l.Problem = "there is no name in hosts form in it" + left.Words()
	case 2*len(names) < l.Names:
		l.Problem = fmt.Sprintf("it has %d names now, under half of the %d before, which are used on; remove %s to take it", len(names), l.Names, k.kept(l))
	default:
		if err := writeLines(k.kept(l), "", names, ""); err != nil {
			l.Problem = err.Error()
			return l
		}
		l.Names, l.Left, l.Fetched, l.Stamp = len(names), left, l.Tried, at
	}
	return l
}

func (k *Keeper) limit() int {
	if k.Limit > 0 {
		return k.Limit
	}
	return MaxNames
}

func (k *Keeper) open(ctx context.Context, source string) (io.ReadCloser, error) {
	if local(source) {
		f, err := os.Open(source)
		if err == nil {
			if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
				f.Close()
				return nil, errors.Join(err, errors.New("it is not a file"))
			}
		}
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, slow)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		cancel()
		return nil, mask.URLError(err)
	}
	resp, err := k.Client.Do(req)
	if err != nil {
		cancel()
		return nil, mask.URLError(err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		cancel()
		return nil, errors.New("the server answers " + resp.Status)
	}
	return body{resp.Body, cancel}, nil
}

type body struct {
	io.ReadCloser
	cancel func()
}

func (b body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// merge makes dnsmasq's file of the kept lists, unless it is there and made of the same ones.
func (k *Keeper) merge(s *State) (changed bool, err error) {
	h := sha256.New()
	fmt.Fprintln(h, k.limit(), k.Ours)
	for _, l := range s.Lists {
		fmt.Fprintln(h, l.ID, l.Names, l.Fetched.UnixNano(), l.Stamp)
	}
	of := hex.EncodeToString(h.Sum(nil)[:8])
	if _, err := os.Stat(File(k.Dir)); err == nil && of == s.Merged {
		return false, nil
	}
	var lists [][]string
	for i, l := range s.Lists {
		if l.Names == 0 {
			continue
		}
		names, err := readLines(k.kept(l))
		if err != nil {
			s.Lists[i].Problem, s.Lists[i].Names = err.Error(), 0
			continue
		}
		lists = append(lists, names)
	}
	names, left := Merge(lists, k.Ours, k.limit())
	sum := sha256.New()
	for _, n := range names {
		fmt.Fprintln(sum, n)
	}
	text := hex.EncodeToString(sum.Sum(nil)[:8])
	if _, err := os.Stat(File(k.Dir)); err != nil || text != s.Sum {
		if err := writeLines(File(k.Dir), "server=/", names, "/"); err != nil {
			return false, err
		}
		changed = true
	}
	s.Names, s.Left, s.Sum, s.Merged = len(names), left, text, of
	return changed, nil
}

// sweep removes the names of lists that are not asked for any more.
func (k *Keeper) sweep(s State) {
	files, _ := filepath.Glob(filepath.Join(k.Dir, "*.names"))
	for _, file := range files {
		if !slices.ContainsFunc(s.Lists, func(l List) bool { return k.kept(l) == file }) {
			_ = os.Remove(file) // is only space
		}
	}
}

func writeLines(file, before string, lines []string, after string) error {
	f, err := atomicfile.Create(filepath.Dir(file), 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for _, l := range lines {
		w.WriteString(before)
		w.WriteString(l)
		w.WriteString(after + "\n")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Commit(file)
}

// readLines reads names that were kept; others than names are damage.
func readLines(file string) (names []string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(data) {
		name := strings.TrimSuffix(string(line), "\n")
		if !valid(name) {
			return nil, fmt.Errorf("%s is damaged", file)
		}
		names = append(names, name)
	}
	return names, nil
}

// Words is what was left out, for people; empty for nothing.
func (l Left) Words() string {
	var list []string
	for _, why := range []Why{Form, Target, Name, Broad, Ours, Many} {
		if n := l[why]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, why))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(list, ", ")
}
