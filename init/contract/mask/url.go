package mask

import (
	"errors"
	"net/url"
)

// URL returns a URL for people: without a name, a password, and what follows ? and #.
func URL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "an address"
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment = nil, "", "", ""
	return u.String()
}

// URLError returns the cause of an error of net/http or net/url, without the URL that those put
// before it.
func URLError(err error) error {
	var u *url.Error
	switch {
	case !errors.As(err, &u):
		return err
	case u.Op == "parse": // its cause may quote a piece of the URL
		return errors.New("the address is not a URL")
	}
	return URLError(u.Err)
}
