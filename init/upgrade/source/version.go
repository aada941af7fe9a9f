package source

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// version identifies the file that an answer is of.
type version struct {
	known    bool
	etag     string
	modified string
	total    int64 // bytes; -1 = unknown
}

func versionOf(resp *http.Response) version {
	return version{known: true, etag: resp.Header.Get("ETag"), modified: resp.Header.Get("Last-Modified"), total: -1}
}

// strong returns what If-Range takes: a strong tag, else the date of the last change.
func (v version) strong() string {
	if v.etag != "" && !strings.HasPrefix(v.etag, "W/") {
		return v.etag
	}
	return v.modified
}

// same compares the versions of two answers.
func (v version) same(now version) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return !differ(v.etag, now.etag) && !differ(v.modified, now.modified) && (v.total < 0 || now.total < 0 || v.total == now.total)
}

// take keeps what is known.
func (v *version) take(now version) {
	if !v.known {
		*v = now
	}
	if v.total < 0 {
		v.total = now.total
	}
}

// contentRange reads "bytes 0-99/1000", "bytes 0-99/*" and "bytes */1000".
func contentRange(s string) (first, last, total int64, err error) {
	bad := fmt.Errorf("content range %q", s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return 0, 0, -1, bad
	}
	total = -1
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 63); err != nil || total < 0 {
			return 0, 0, -1, bad
		}
	}
	if span == "*" {
		return 0, -1, total, nil
	}
	a, b, _ := strings.Cut(span, "-")
	first, err = strconv.ParseInt(a, 10, 63)
	last, err2 := strconv.ParseInt(b, 10, 63)
	if err != nil || err2 != nil || first < 0 || last < first {
		return 0, 0, -1, bad
	}
	return first, last, total, nil
}
