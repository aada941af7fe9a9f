package blocklist

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rig is a keeper with a source, whose answer and clock the test sets.
type rig struct {
	*Keeper
	t      *testing.T
	answer string // empty: 503
	asked  int
	now    time.Time
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: time.Unix(1e9, 0)}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.asked++
		if r.answer == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, r.answer)
	}))
	t.Cleanup(s.Close)
	r.Keeper = &Keeper{
		Dir: filepath.Join(t.TempDir(), "lists"), Sources: []string{s.URL + "/hosts?token=geheim"}, Ours: []string{"nas.lan"}, Client: s.Client(),
		Now: func() time.Time { return r.now }, Say: t.Logf,
	}
	return r
}

// refresh refreshes and returns the state, and what dnsmasq reads.
func (r *rig) refresh(wantChange bool) (State, string) {
	r.t.Helper()
	changed, err := r.Refresh(context.Background())
	if err != nil || changed != wantChange {
		r.t.Errorf("got a change %v, %v, want %v", changed, err, wantChange)
	}
	s, err := Load(r.Dir)
	if err != nil || len(s.Lists) != len(r.Sources) {
		r.t.Fatalf("got %+v, %v", s, err)
	}
	data, err := os.ReadFile(File(r.Dir))
	if err != nil {
		r.t.Fatal(err)
	}
	return s, string(data)
}

const four = "0.0.0.0 a.example.com\n0.0.0.0 b.example.com\n0.0.0.0 c.example.com\n0.0.0.0 nas.lan\n"

// A list is read once a week; what was taken is used when the source is away or has much less.
func TestRefresh(t *testing.T) {
	r := newRig(t)
	s, text := r.refresh(true)
	if s.Lists[0].Problem == "" || text != "" || strings.Contains(s.Lists[0].From, "geheim") {
		t.Errorf("no source: got %+v, %q", s, text)
	}
	r.answer, r.now = four, r.now.Add(time.Second)
	s, text = r.refresh(true)
	if s.Lists[0].Problem != "" || s.Lists[0].Names != 4 || s.Names != 3 || s.Left[Ours] != 1 || text != "server=/a.example.com/\nserver=/b.example.com/\nserver=/c.example.com/\n" {
		t.Errorf("got %+v, %q", s, text)
	}
	good, questions := text, r.asked
	for _, c := range []struct{ name, answer, problem string }{
		{"away", "", "503 Service Unavailable"},
		{"a page", "<html>\nmoved\n</html>\n", "there is no name in hosts form in it; left out: 3 not in hosts form"},
		{"half is gone", "0.0.0.0 a.example.com\n", "it has 1 names now, under half of the 4 before"},
	} {
		r.answer, r.now = c.answer, r.now.Add(week)
		s, text = r.refresh(false)
		if text != good || s.Lists[0].Names != 4 || !strings.Contains(s.Lists[0].Problem, c.problem) {
			t.Errorf("%s: got %+v, %q", c.name, s, text)
		}
		r.now = r.now.Add(time.Minute)
		r.refresh(false)
		if questions++; r.asked != questions { // not again a minute after a failure
			t.Errorf("%s: got %d questions, want %d", c.name, r.asked, questions)
		}
	}
	r.answer, r.now = "0.0.0.0 a.example.com\n0.0.0.0 d.example.com\n", r.now.Add(again)
	s, text = r.refresh(true)
	if s.Lists[0].Problem != "" || s.Names != 2 || text != "server=/a.example.com/\nserver=/d.example.com/\n" {
		t.Errorf("half of it: got %+v, %q", s, text)
	}
	if Due(s, r.Sources, r.now.Add(week-time.Second)) || !Due(s, r.Sources, r.now.Add(week)) || !Due(s, r.Sources, r.now.Add(-week)) {
		t.Error("it is not due after a week, or with a clock that was set back")
	}
	// Another name of ours: without another look at the source.
	questions = r.asked
	r.Ours = []string{"www.d.example.com"}
	if s, text = r.refresh(true); text != "server=/a.example.com/\n" || s.Left[Ours] != 1 || r.asked != questions {
		t.Errorf("got %+v, %q, %d questions", s, text, r.asked-questions)
	}
}

// Files are read when they change; lists that are not asked for any more are removed.
func TestRefreshFiles(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "list")
	write := func(text string, at int64) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Unix(at, 0)); err != nil {
			t.Fatal(err)
		}
	}
	r.answer, r.Sources = four, append(r.Sources, file)
	write("0.0.0.0 x.example.com\n", 1)
	s, text := r.refresh(true)
	if s.Lists[1].From != file || s.Names != 4 || !strings.Contains(text, "server=/x.example.com/\n") {
		t.Errorf("got %+v, %q", s, text)
	}
	write("0.0.0.0 y.example.com\n", 2)
	if !Due(s, r.Sources, r.now) {
		t.Error("a file that changed is not due")
	}
	if _, text = r.refresh(true); !strings.Contains(text, "server=/y.example.com/\n") || strings.Contains(text, "/x.") {
		t.Errorf("got %q", text)
	}
	// Kept names that are damaged are read again.
	if err := os.Remove(filepath.Join(r.Dir, ID(file)+".names")); err != nil {
		t.Fatal(err)
	}
	if s, _ = r.refresh(false); s.Lists[1].Names != 1 || s.Lists[1].Problem != "" {
		t.Errorf("got %+v", s)
	}
	r.Sources = []string{file}
	if _, text = r.refresh(true); text != "server=/y.example.com/\n" {
		t.Errorf("got %q", text)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "*.names")); len(left) != 1 {
		t.Errorf("got %v", left)
	}
	r.Sources = []string{"/dev/zero"}
	if s, text = r.refresh(true); s.Lists[0].Problem != "it is not a file" || text != "" {
		t.Errorf("got %+v, %q", s, text)
	}
	if err := os.WriteFile(filepath.Join(r.Dir, "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Sources = []string{file}
	if s, _ = r.refresh(true); s.Names != 1 {
		t.Errorf("after damage: got %+v", s)
	}
}
