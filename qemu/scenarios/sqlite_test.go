package scenarios

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	nodearchive "imgbuild/init/contract/archive"
	"imgbuild/init/k3s/backup"
	"imgbuild/qemu/tool"
)

// TestBackupOfLiveDatabase copies a database while SQLite itself, another process, writes to it and
// moves its log into it all the time, and has SQLite check the copies.
func TestBackupOfLiveDatabase(t *testing.T) {
	t.Parallel()
	sqlite := tool.Path(t, "sqlite3")
	live := filepath.Join(t.TempDir(), "state.db")
	ask := func(file string, sql ...string) string {
		t.Helper()
		out, err := exec.Command(sqlite, append([]string{"-batch", file}, sql...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	ask(live, "PRAGMA journal_mode=WAL; CREATE TABLE a(n, pad); CREATE TABLE b(n, pad);")
	ctx, stop := context.WithCancel(t.Context())
	writer := exec.CommandContext(ctx, sqlite, "-batch", live)
	in, err := writer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); writer.Wait() }()
	go func() { // every transaction leaves both tables with the same rows; a page or two each, and a checkpoint after every few
		fmt.Fprintln(in, ".timeout 30000\nPRAGMA wal_autocheckpoint=8;")
		for n := 1; ; n++ {
			if _, err := fmt.Fprintf(in, "BEGIN IMMEDIATE; INSERT INTO a VALUES(%d, randomblob(3000)); DELETE FROM a WHERE n < %d; INSERT INTO b VALUES(%d, randomblob(5000)); DELETE FROM b WHERE n < %d; COMMIT; SELECT 'done %d';\n",
				n, n-200, n, n-200, n); err != nil {
				return
			}
		}
	}()
	done := bufio.NewScanner(out)
	reached := func(want int) int {
		t.Helper()
		for done.Scan() {
			if n, err := strconv.Atoi(strings.TrimPrefix(done.Text(), "done ")); err == nil && n >= want {
				return n
			}
		}
		t.Fatal("the writer ended")
		return 0
	}
	last := 0
	for i := range 25 {
		last = reached(last + 30)
		copied := copyDatabase(t, live)
		if got := ask(copied, "PRAGMA integrity_check;", "SELECT (SELECT max(n) FROM a) = (SELECT max(n) FROM b) AND (SELECT count(*) FROM a) = (SELECT count(*) FROM b);"); got != "ok\n1" {
			t.Fatalf("copy %d: %s", i, got)
		}
		if got, err := strconv.Atoi(ask(copied, "SELECT max(n) FROM a;")); err != nil || got < last {
			t.Errorf("copy %d has %d, %d was committed before it was made", i, got, last)
		}
	}
	stop()
	writer.Wait()

	// What is held, shown by SQLite's own answer: no checkpoint while the copy is made, and one
	// again afterwards.
	copied := filepath.Join(t.TempDir(), "x.tar")
	keep := exec.Command(sqlite, "-batch", live) // a process that has it open
	keepIn, err := keep.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	keepOut, err := keep.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { keepIn.Close(); keep.Wait() }()
	fmt.Fprintln(keepIn, "INSERT INTO a VALUES(0, 1); SELECT 'open';")
	if line, err := bufio.NewReader(keepOut).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("got %q, %v, want %q", line, err, "open\n")
	}
	err = nodearchive.Create(copied, nodearchive.Header{Kind: nodearchive.Backup, Created: time.Unix(0, 0)}, func(w *nodearchive.Writer) error {
		release, err := backup.Hold(t.Context(), live)
		if err != nil {
			return err
		}
		defer release()
		if got := ask(live, "PRAGMA wal_checkpoint(TRUNCATE);"); !strings.HasPrefix(got, "1|") {
			t.Errorf("SQLite moved its log while the database was held: %s", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(live, "PRAGMA wal_checkpoint(TRUNCATE);"); !strings.HasPrefix(got, "0|") {
		t.Errorf("SQLite is held up afterwards: %s", got)
	}
}

// copyDatabase copies a database through an archive and returns the copy's path.
func copyDatabase(t *testing.T, live string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "copy.tar")
	err := nodearchive.Create(file, nodearchive.Header{Kind: nodearchive.Backup, Created: time.Unix(0, 0)}, func(w *nodearchive.Writer) error {
		return backup.AddDatabase(t.Context(), w, live, "state.db")
	})
	if err == nil {
		err = nodearchive.ReadFile(file, func(nodearchive.Header) error { return nil }, func(h *tar.Header, r io.Reader) error {
			f, err := os.Create(filepath.Join(dir, h.Name))
			if err != nil {
				return err
			}
			_, err = io.Copy(f, r)
			return errors.Join(err, f.Close())
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "state.db")
}
