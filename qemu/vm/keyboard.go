package vm

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Keyboard gives what is typed on a terminal, byte by byte, and calls stop at the byte leave, which
// is not handed on. It is nil where stdin is no terminal. restore puts the terminal back.
func Keyboard(stdin *os.File, leave byte, stop func()) (keys io.Reader, restore func()) {
	fd := int(stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, func() {}
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return stdin, func() {}
	}
	return until(stdin, leave, stop), func() { _ = term.Restore(fd, old) } // a terminal that is gone needs no restoring
}

// until gives what comes from in up to a byte, or up to its end, and calls stop then.
func until(in io.Reader, leave byte, stop func()) io.Reader {
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		defer stop()
		var b [1]byte
		for {
			n, err := in.Read(b[:])
			if err != nil || n == 1 && b[0] == leave {
				return
			}
			if _, err := w.Write(b[:n]); err != nil {
				return
			}
		}
	}()
	return r
}
