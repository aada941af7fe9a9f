// Package container tests the container of a Plan: the image as a registry returns it, unpacked as
// a runtime does it, run in its own root with a node's root at /host.
package container

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"imgbuild/builder/planimage"
)

// container is an image that was unpacked.
type container struct {
	root   string
	config v1.Config
}

// pull pushes an image to a registry, fetches it and unpacks it.
func pull(t *testing.T, bundle, root string, program []byte) container {
	t.Helper()
	made, err := planimage.Make([]string{bundle}, func(string) ([]byte, error) { return program, nil })
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	to, err := made.Target(strings.TrimPrefix(s.URL, "http://") + "/shelf")
	if err == nil {
		err = made.Write(t.Context(), to)
	}
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(to.Tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		if err := unpack(r, root); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	return container{root, config.Config}
}

// unpack unpacks a layer.
func unpack(r io.Reader, root string) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Join(root, h.Name)
		switch mode := fs.FileMode(h.Mode).Perm(); h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(name, mode)
		case tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(t); err == nil {
				err = os.WriteFile(name, data, mode)
			}
		default:
			err = errors.New(h.Name + " is neither a file nor a directory")
		}
		if err != nil {
			return err
		}
	}
}

// running is a container that runs.
type running struct {
	cmd     *exec.Cmd
	lines   chan string
	ended   chan error
	stop    context.CancelFunc
	printed []string
}

// start runs the entry point, with other arguments than the image's if some are given. Who is not
// root needs user namespaces that allow chroot.
func (c container) start(t *testing.T, args ...string) *running {
	t.Helper()
	if args == nil {
		args = c.config.Cmd
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, c.config.Entrypoint[0])
	cmd.Args = append(slices.Clone(c.config.Entrypoint), args...)
	cmd.Env, cmd.Dir = c.config.Env, c.config.WorkingDir
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	run := &running{cmd: cmd, lines: make(chan string, 1000), ended: make(chan error, 1), stop: stop}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			run.lines <- s.Text()
		}
		close(run.lines)
	}()
	go func() {
		err := cmd.Wait()
		w.Close()
		run.ended <- err
	}()
	return run
}

// code is the exit code, and what was printed. It fails the test if there is none before limit.
func (r *running) code(t *testing.T, ctx context.Context) (int, string) {
	t.Helper()
	select {
	case err := <-r.ended:
		for line := range r.lines {
			r.printed = append(r.printed, line)
		}
		text := strings.Join(r.printed, "\n")
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%v: %s", err, text)
		}
		return r.cmd.ProcessState.ExitCode(), text
	case <-ctx.Done():
		t.Fatalf("the container does not end; it printed %q", r.printed)
	}
	return 0, ""
}

// prints waits for a line that contains text.
func (r *running) prints(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				t.Fatalf("the container ended and did not print %q: %q", text, r.printed)
			}
			if r.printed = append(r.printed, line); strings.Contains(line, text) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("the container does not print %q: %q", text, r.printed)
		}
	}
}

// runs fails the test if the container has ended.
func (r *running) runs(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
		t.Fatalf("the container has ended: %q", r.printed)
	default:
	}
}

// kill ends it as a reboot does.
func (r *running) kill() {
	r.stop()
	<-r.ended
}
