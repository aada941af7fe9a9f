package debian

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"imgbuild/init/contract/fault"
)

// NotFound lists the packages of a lock that the archive no longer has, because newer versions
// replaced them. A lock made again helps.
type NotFound struct{ Packages []Locked }

func (e *NotFound) Error() string {
	names := make([]string, len(e.Packages))
	for i, p := range e.Packages {
		names[i] = p.Name + " " + p.Version
	}
	return "no longer in the archive: " + strings.Join(names, ", ")
}

// Fetch brings packages into the cache, 4 in parallel. A download that breaks off is resumed, now
// or by the next run. Packages that the archive does not have any more do not stop the others; they
// make a *NotFound (kind Input) in the end. Other errors, of the kinds Network, Verify and Device,
// stop it.
func (c *Client) Fetch(ctx context.Context, packages []Locked) error {
	var total int64
	for _, p := range packages {
		total += p.Size
	}
	m := c.meter("packages", total)
	gone := make([]bool, len(packages))
	var mu sync.Mutex
	err := each(ctx, parallel, len(packages), func(ctx context.Context, i int) error {
		p := packages[i]
		sum, err := parseSum(p.SHA256)
		if err != nil {
			return fault.Wrap(err, fault.Input, "", "package %s", p.Name)
		}
		bases, err := c.Mirrors.bases(p.Archive)
		if err != nil {
			return err
		}
		err = anyOf(bases, func(base string) error { return c.fetch(ctx, base+"/"+escapePath(p.Pool), sum, p.Size, m) })
		if notFound(err) {
			mu.Lock()
			gone[i] = true
			mu.Unlock()
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	var missing NotFound
	for i, p := range packages {
		if gone[i] {
			missing.Packages = append(missing.Packages, p)
		}
	}
	if len(missing.Packages) > 0 {
		return &fault.Error{Kind: fault.Input, What: fmt.Sprintf("%d of %d packages are not available", len(missing.Packages), len(packages)),
			Err: &missing, Fix: "make a new lock with `imgbuild lock`, use lock=auto, or take an archive that still has them with mirror=URL"}
	}
	return nil
}

// anyOf asks one mirror after the other until one has it. When none does, the error is the first
// that is not just "not found".
func anyOf(bases []string, ask func(base string) error) error {
	var first error
	for _, base := range bases {
		err := ask(base)
		var f *fault.Error
		if err == nil || cancelled(err) || errors.As(err, &f) && f.Kind != fault.Network && f.Kind != fault.Verify {
			return err // a full disk is not the mirror's fault
		}
		if first == nil || notFound(first) && !notFound(err) {
			first = err
		}
	}
	return first
}

// escapePath writes a pool path for a URL: only '%' and '+' of the allowed bytes need care; '+' is
// sent as it is, because some servers take it literally and all of them decode %25.
func escapePath(pool string) string { return strings.ReplaceAll(pool, "%", "%25") }
