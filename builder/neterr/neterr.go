// Package neterr puts the errors of a network into words for people.
package neterr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"

	"imgbuild/init/contract/mask"
)

// Words is what an error of an HTTP client means, without addresses, ports and the names of system
// calls. An error that is not one of a network is as it was.
func Words(err error) string {
	host := "the server"
	var u *url.Error
	if errors.As(err, &u) {
		if at, e := url.Parse(u.URL); e == nil && at.Hostname() != "" {
			host = at.Hostname()
		}
	}
	var name *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("the host %s does not exist", name.Name)
	case errors.As(err, &name):
		return fmt.Sprintf("no name server answers for %s", name.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return host + " refuses connections"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to " + host
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return host + " ended the connection"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &op) && op.Timeout(), u != nil && u.Timeout():
		return host + " does not answer"
	case op != nil:
		return fmt.Sprintf("%s: %v", host, op.Err)
	case u != nil:
		return fmt.Sprintf("%s: %v", host, u.Err)
	}
	return mask.URLError(err).Error()
}
