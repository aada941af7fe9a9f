package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/snapshots"
)

// tree is a directory with the snapshots of one share: tree/@GMT-.../files. btrfs moves a read-only
// subvolume to no other directory, so each has a directory of its own, which gets its name last.
type tree string

// files is the subvolume in a snapshot's directory. It is the name that streams bear.
const files = "files"

// fresh begins the names of directories that are not finished, or are being deleted.
const fresh = ".part-"

func (t tree) path(name string) string { return filepath.Join(string(t), name, files) }

// list returns the snapshots that are there. received is set at a place, where a whole one has the
// UUID of what was sent.
func (t tree) list(received bool) ([]Snap, error) {
	entries, err := os.ReadDir(string(t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Snap
	for _, e := range entries {
		if _, ok := snapshots.Time(e.Name()); !ok {
			continue
		}
		s := Snap{Name: e.Name()}
		if in, err := infoOf(t.path(e.Name())); err == nil {
			s.Stream, s.Gen = in.received, in.gen
			if s.Stream == "" && !received {
				s.Stream = in.uuid
			}
			s.Whole = in.readOnly && s.Stream != ""
		}
		list = append(list, s)
	}
	return list, err
}

// clean makes the directory and deletes what is not finished in it.
func (t tree) clean(ctx context.Context) error {
	if err := os.MkdirAll(string(t), 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(string(t))
	errs := []error{err}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), fresh) {
			errs = append(errs, erase(ctx, filepath.Join(string(t), e.Name())))
		}
	}
	return errors.Join(errs...)
}

// erase deletes a directory with the subvolumes in it.
func erase(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if sub := filepath.Join(dir, e.Name()); isSubvolume(sub) {
			if err := btrfs(ctx, "subvolume", "delete", sub); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// make snapshots a share.
func (t tree) make(ctx context.Context, share, name string) error {
	part := filepath.Join(string(t), fresh+name)
	if err := os.Mkdir(part, 0o700); err != nil {
		return err
	}
	if err := btrfs(ctx, "subvolume", "snapshot", "-r", share, filepath.Join(part, files)); err != nil {
		return fault.Wrap(err, fault.Device, "see `shelf storage` for free space", "a snapshot of %s", share)
	}
	return t.finish(part, name)
}

// finish renames a directory to its name, once what is in it is lasting.
func (t tree) finish(part, name string) error {
	if err := syncFS(string(t)); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(string(t), name)); err != nil {
		return err
	}
	return syncFS(string(t))
}

// drop deletes snapshots.
func (t tree) drop(ctx context.Context, names []string) error {
	for _, name := range names {
		part := filepath.Join(string(t), fresh+name)
		if err := os.Rename(filepath.Join(string(t), name), part); err != nil {
			return err
		}
		if err := erase(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// receive takes a stream for a snapshot. It gets its name when btrfs has received all of it, read
// only and with the UUID that it is to have.
func (t tree) receive(ctx context.Context, s Snap, stream io.Reader) error {
	if _, ok := snapshots.Time(s.Name); !ok {
		return fault.New(fault.Input, "", "%q is not a name of a snapshot", s.Name)
	}
	if err := t.clean(ctx); err != nil {
		return err
	}
	part := filepath.Join(string(t), fresh+s.Name)
	if err := os.Mkdir(part, 0o700); err != nil {
		return err
	}
	err := command(ctx, stream, nil, "btrfs", "-q", "receive", "-e", part)
	if err == nil {
		err = s.received(filepath.Join(part, files))
	}
	if err == nil {
		return t.finish(part, s.Name)
	}
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_ = erase(tidy, part) // else clean does it before the next one
	return err
}

// received checks a subvolume that was received.
func (s Snap) received(dir string) error {
	in, err := infoOf(dir)
	switch {
	case err != nil:
		return fault.Wrap(err, fault.Verify, "", "what was received is not a snapshot")
	case !in.readOnly || in.received != s.Stream:
		return fault.New(fault.Verify, "it is sent again", "the snapshot %s was not received whole", s.Name)
	}
	return nil
}

// send writes the stream of a snapshot, from a base on if there is one.
func (t tree) send(ctx context.Context, s Snap, base *Snap, w io.Writer) error {
	args := []string{"btrfs", "-q", "send"}
	if base != nil {
		args = append(args, "-p", t.path(base.Name))
	}
	return command(ctx, nil, w, append(args, t.path(s.Name))...)
}

func btrfs(ctx context.Context, args ...string) error {
	return command(ctx, nil, nil, append([]string{"btrfs", "-q"}, args...)...)
}

// command runs a program. Its error ends with the last line that the program wrote to stderr.
func command(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said tail
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", args[0], ctx.Err())
	}
	return fmt.Errorf("%s: %w: %s", strings.Join(args[:min(len(args), 3)], " "), err, said.last())
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}

func (t *tail) last() string {
	text := strings.TrimSpace(string(t.b))
	return text[strings.LastIndexByte(text, '\n')+1:]
}
