package neterr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
)

// No sentence has an address, a port or the name of a system call.
func TestWords(t *testing.T) {
	get := func(err error) error {
		return fmt.Errorf("fetching: %w", &url.Error{Op: "Get", URL: "https://user:word@files.lan:8443/k3s", Err: err})
	}
	dial := func(err error) error { return get(&net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	for _, c := range []struct {
		err  error
		want string
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "files.lan", Server: "192.168.1.1:53", IsNotFound: true}), "the host files.lan does not exist"},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "files.lan", IsTimeout: true}), "no name server answers for files.lan"},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "files.lan refuses connections"},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "there is no way to files.lan"},
		{get(syscall.ECONNRESET), "files.lan ended the connection"},
		{dial(os.ErrDeadlineExceeded), "files.lan does not answer"},
		{get(context.DeadlineExceeded), "files.lan does not answer"},
		{get(errors.New("stopped after 10 redirects")), "files.lan: stopped after 10 redirects"},
		{dial(errors.New("odd")), "files.lan: odd"},
		{errors.New("HTTP 404"), "HTTP 404"},
	} {
		if got := Words(c.err); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

// The real thing: nobody listens on port 1.
func TestWordsOfClient(t *testing.T) {
	_, err := http.Get("http://127.0.0.1:1/x") //nolint:bodyclose // there is none
	if got, want := Words(err), "127.0.0.1 refuses connections"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
