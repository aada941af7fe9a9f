package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"imgbuild/init/contract/archive"
	"imgbuild/init/contract/fault"

	"golang.org/x/sys/unix"
)

// Bytes of SQLite's locks (sqlite.org: "File Locking And Concurrency", os_unix.c, wal.c). In the
// database file itself SHARED is a read lock on a range beyond any page that is written; in the
// -shm file of a database in WAL mode each lock is a byte.
const (
	pendingByte = 0x40000000
	sharedFirst = pendingByte + 2
	sharedSize  = 510

	walCheckpoint = 121 // WAL_CKPT_LOCK: held while the log's pages are copied into the database
	walRead1      = 124 // WAL_READ_LOCK(1): the log is not begun again while somebody reads it
	walDeadMan    = 128 // UNIX_SHM_DMS: opening the -shm file shows whether anybody else has
)

// header of a database: magic, and the bytes that give its kind of journal (sqlite.org,
// fileformat2).
const (
	sqliteMagic = "SQLite format 3\x00"
	sqliteHead  = 100
	inWAL       = 2
)

// database is a SQLite database that does not change as long as it is held, although its users go
// on.
//
// A copy of a database that is in use is nearly always damaged: pages move from the log to the
// database while it is read. It holds the checkpoint, which moves them, and the log's beginning
// again; writers append to the log as ever. SQLite leaves out what they append after the last whole
// transaction of the copy when it opens the copy, for no checksum ends it.
type database struct {
	db, wal, shm *os.File // wal and shm are nil if there are none
}

// AddDatabase copies a database that may be in use into an archive, as a database and its log that
// SQLite opens at the state of one moment. It waits for SQLite's locks until ctx ends.
func AddDatabase(ctx context.Context, w *archive.Writer, file, as string) error {
	d, err := hold(ctx, file)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.add(w, as)
}

// Hold holds a database as it is until release is called.
func Hold(ctx context.Context, file string) (release func(), err error) {
	d, err := hold(ctx, file)
	if err != nil {
		return nil, err
	}
	return d.Close, nil
}

// hold opens a database and waits for its locks.
func hold(ctx context.Context, path string) (d *database, err error) {
	d = &database{}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	if d.db, err = os.Open(path); err != nil {
		return d, err
	}
	// PENDING is taken in passing, as SQLite does: a writer that waits for all readers to go must
	// get its turn.
	if err := lock(ctx, d.db, unix.F_RDLCK, pendingByte, 1); err != nil {
		return d, err
	}
	if err := lock(ctx, d.db, unix.F_RDLCK, sharedFirst, sharedSize); err != nil {
		return d, err
	}
	if err := lock(ctx, d.db, unix.F_UNLCK, pendingByte, 1); err != nil {
		return d, err
	}
	head := make([]byte, sqliteHead)
	if _, err := d.db.ReadAt(head, 0); err != nil || string(head[:16]) != sqliteMagic {
		return d, fault.New(fault.Input, "", "%s is no SQLite database", path)
	}
	if head[18] != inWAL {
		if st, err := os.Stat(path + "-journal"); err == nil && st.Size() > 0 {
			return d, fault.New(fault.Unhealthy, "start k3s", "%s was left in the middle of a transaction", path)
		}
		return d, nil // nobody can write to it as long as we read it
	}
	d.shm, err = os.OpenFile(path+"-shm", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		d.shm = nil
	} else if err != nil {
		return d, err
	} else {
		for _, l := range []struct {
			kind int16
			at   int64
		}{{unix.F_RDLCK, walDeadMan}, {unix.F_WRLCK, walCheckpoint}, {unix.F_RDLCK, walRead1}} {
			if err := lock(ctx, d.shm, l.kind, l.at, 1); err != nil {
				return d, err
			}
		}
	}
	if d.wal, err = os.Open(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		d.wal, err = nil, nil
	}
	return d, err
}

// Close lets the database go.
func (d *database) Close() {
	for _, f := range []*os.File{d.wal, d.shm, d.db} {
		if f != nil {
			f.Close()
		}
	}
}

// changed reports whether somebody has begun to work with a database that nobody had open when it
// was held.
func (d *database) changed() bool {
	if d.shm != nil {
		return false
	}
	_, err := os.Stat(d.db.Name() + "-shm")
	return err == nil
}

// add writes the database into an archive, its log as NAME-wal.
func (d *database) add(w *archive.Writer, name string) error {
	for _, f := range []*os.File{d.db, d.wal} {
		if f == nil {
			continue
		}
		st, err := f.Stat()
		if err != nil {
			return err
		}
		m := archive.Meta{Mode: 0o600, Time: st.ModTime()}
		to := name
		if f == d.wal {
			to += "-wal"
		}
		if err := w.File(to, m, st.Size(), io.NewSectionReader(f, 0, st.Size())); err != nil {
			return err
		}
	}
	if d.changed() {
		return fault.New(fault.Unhealthy, "it is tried again", "k3s opened its database while it was copied")
	}
	return nil
}

// lockEvery is how often a lock that somebody has is asked for again.
const lockEvery = 20 * time.Millisecond

// lock takes or gives up a lock that belongs to the open file (fcntl(2), open file description
// locks), which counts against the process locks that SQLite takes and does not go when another
// descriptor of this process is closed.
func lock(ctx context.Context, f *os.File, kind int16, start, length int64) error {
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: length})
		if err == nil || !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("somebody holds the lock at byte %d of %s: %w", start, filepath.Base(f.Name()), ctx.Err())
		case <-time.After(lockEvery):
		}
	}
}
