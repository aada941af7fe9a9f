package datastore

import (
	"errors"
	"path/filepath"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/k3s"
)

func TestSurvey(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		args  []string
		want  Kind
		size  int64
	}{
		{"nothing yet", nil, nil, None, 0},
		{"sqlite", []string{"server/db/state.db", "server/db/state.db-wal", "server/tls/x"}, nil, SQLite, 14},
		{"snapshots are not counted", []string{"server/db/state.db", "server/db/snapshots/s"}, nil, SQLite, 7},
		{"etcd, and nobody answers", []string{"server/db/etcd/member/wal", "server/tls/x"}, nil, Several, 0},
		{"elsewhere", []string{"server/tls/x"}, []string{"--datastore-endpoint=mysql://x"}, External, 0},
		{"certificates only", []string{"server/tls/x"}, nil, None, 0},
	} {
		data := memory(t)
		for _, f := range c.files {
			put(t, filepath.Join(data, f), "content")
		}
		cfg := &config.Config{K3OS: config.K3OS{K3sArgs: append([]string{"--data-dir=" + data}, c.args...)}}
		a, err := Survey(t.Context(), cfg, from, to, true)
		if err != nil || a.Kind != c.want || a.Size != c.size || a.From != from || a.To != to || !a.Keep || (a.Free > 0) != (c.want == SQLite) {
			t.Errorf("%s: got %+v, %v, want %s with %d bytes", c.name, a, err, c.want, c.size)
		}
	}
	// A binary of the user's has a name that shows no version, and noted is what it prints.
	data := memory(t)
	put(t, filepath.Join(data, "server/db/state.db"), "content")
	put(t, filepath.Join(data, k3sstep.NoteName), from+"\n")
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"--data-dir=" + data}}}
	for to, want := range map[string]bool{"file-12345678": false, "file-87654321": true} {
		a, err := Survey(t.Context(), cfg, "file-12345678", to, false)
		if err != nil {
			t.Fatal(err)
		}
		a.Free = 1 << 40
		if copied, err := a.Decide(); copied != want || err != nil {
			t.Errorf("to %s: copied %v, %v, want %v", to, copied, err, want)
		}
	}
	one := k3s.Member{Name: "a", Etcd: true}
	for _, c := range []struct {
		members []k3s.Member
		err     error
		want    Kind
	}{
		{[]k3s.Member{one, {Name: "w"}}, nil, Etcd}, {[]k3s.Member{one, one}, nil, Several}, {[]k3s.Member{{Name: "w"}}, nil, Several}, {[]k3s.Member{one}, errors.New("no answer"), Several},
	} {
		if got := etcd(c.members, c.err); got != c.want {
			t.Errorf("%v, %v: got %s, want %s", c.members, c.err, got, c.want)
		}
	}
}
