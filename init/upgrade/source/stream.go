package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"imgbuild/init/contract/fault"
)

// watched is a body that ends when nothing comes.
type watched struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	idle   time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.idle) // it stalls while the card is written
	n, err := w.ReadCloser.Read(p)
	w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = because(w.ctx, err)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel(nil)
	return err
}

// whole is a body that holds the file from its start on.
type whole struct {
	io.ReadCloser
	at int64
}

func (w *whole) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.at += int64(n)
	return n, err
}

// skip drops the bytes before byte at.
func (w *whole) skip(at int64) error {
	_, err := io.CopyN(io.Discard, w, at-w.at)
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Verify, "put the whole file there", "the file on the server ends at byte %d, before byte %d", w.at, at)
	}
	if err != nil {
		w.Close()
		return errAgain{fmt.Errorf("the connection broke: %w", err)}
	}
	return nil
}
