package vm

import (
	"os"
	"syscall"
)

// Link is one end of a cable between two guests. Both ends exist before either guest starts, so
// that the order does not matter and no path or port is taken.
type Link struct {
	end *os.File
	MAC string // of the guest's side
}

// NewLink makes a cable. Each end goes into the options of one guest; Close the ends of guests that
// never start.
func NewLink(macA, macB string) (a, b *Link, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return &Link{os.NewFile(uintptr(fds[0]), "link a"), macA}, &Link{os.NewFile(uintptr(fds[1]), "link b"), macB}, nil
}

// Close releases the end.
func (l *Link) Close() error { return l.end.Close() }

// Read and Write are for a program that plays a machine at this end, as qemu/fixtures/lan does:
// Ethernet frames, each after its length in four bytes, big-endian (QEMU's -netdev socket).
func (l *Link) Read(p []byte) (int, error)  { return l.end.Read(p) }
func (l *Link) Write(p []byte) (int, error) { return l.end.Write(p) }
