package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/beevik/ntp"

	"imgbuild/init/base/guard"
	"imgbuild/init/contract/config"
)

// pool is asked when nobody names a better server. It is the vendor zone that Debian's own packages
// use.
var pool = []string{"0.debian.pool.ntp.org", "1.debian.pool.ntp.org", "2.debian.pool.ntp.org", "3.debian.pool.ntp.org"}

// Tiers returns the servers to ask, in groups: all of a group in parallel, the next group only when
// nobody of this one gives a time. fromDHCP are those of option 42.
func Tiers(cfg *config.Config, fromDHCP []string) [][]string {
	var tiers [][]string
	var seen []string
	add := func(list []string) {
		var tier []string
		for _, s := range list {
			if s != "" && !slices.Contains(seen, s) && len(tier) < 6 {
				seen, tier = append(seen, s), append(tier, s)
			}
		}
		if len(tier) > 0 {
			tiers = append(tiers, tier)
		}
	}
	add(cfg.Time.Servers)
	if len(fromDHCP) > 0 {
		add(fromDHCP)
	} else {
		add(cfg.K3OS.NTPServers)
	}
	add(pool)
	return tiers
}

// sample is the answer of one server.
type sample struct {
	server   string
	offset   time.Duration // to add to our clock
	distance time.Duration // how far the server may be off, at most (RFC 5905, root distance)
	stratum  uint8         // how far the server is from a clock that is right by itself
}

// queryTimeout is how long a server may take.
const queryTimeout = 3 * time.Second

// query asks one server; floor bounds what can be believed.
func query(server string, floor time.Time) (sample, error) {
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: queryTimeout})
	if err != nil {
		return sample{}, reason(err)
	}
	if err := r.Validate(); err != nil {
		return sample{}, err
	}
	if t := time.Now().Add(r.ClockOffset); !plausible(t, floor) {
		return sample{}, fmt.Errorf("it gives %s, the image is of %s", t.UTC().Format(time.DateOnly), floor.UTC().Format(time.DateOnly))
	}
	return sample{server, r.ClockOffset, max(r.RootDistance, time.Millisecond), r.Stratum}, nil
}

// reason leaves out of an error our own address and port, which is another one each time: the same
// trouble is reported once.
func reason(err error) error {
	var name *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return errors.New("there is no such name")
	case errors.As(err, &name):
		return errors.New("no name server answers for its name")
	case errors.As(err, &op) && op.Timeout():
		return errors.New("no answer")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// ask asks all servers of a tier in parallel and returns the time that most agree on.
func ask(ctx context.Context, tier []string, floor time.Time) (sample, error) {
	type answer struct {
		at int
		s  sample
		e  error
	}
	answers := make(chan answer, len(tier))
	for i, server := range tier {
		guard.Go(func() {
			s, err := query(server, floor)
			if err != nil {
				err = fmt.Errorf("%s: %w", server, err)
			}
			answers <- answer{i, s, err}
		})
	}
	got := make([]answer, 0, len(tier))
	for range tier {
		select {
		case a := <-answers:
			got = append(got, a)
		case <-ctx.Done():
			return sample{}, ctx.Err()
		}
		slices.SortFunc(got, func(a, b answer) int { return a.at - b.at })
		var samples []sample
		for _, a := range got {
			if a.e == nil {
				samples = append(samples, a.s)
			}
		}
		if len(samples) == 0 {
			continue
		}
		// Servers that are silent cannot outvote a majority, and k3s may be waiting.
		if s, agree := choose(samples); len(got) == len(tier) || agree > len(tier)/2 {
			return s, nil
		}
	}
	var errs []error
	for _, a := range got {
		errs = append(errs, a.e)
	}
	return sample{}, errors.Join(errs...)
}

// choose picks, of at least one sample in order of preference, the most exact of the largest group
// of servers that can all be right: whose intervals offset ± distance have a point in common
// (Marzullo's algorithm, RFC 5905, 11.2.1). Of groups of one size the one with the earlier server
// counts. agree is the size of the group.
func choose(samples []sample) (s sample, agree int) {
	var best []sample
	for _, edge := range samples {
		// A largest intersection begins where some interval begins.
		point := edge.offset - edge.distance
		var group []sample
		for _, s := range samples {
			if s.offset-s.distance <= point && point <= s.offset+s.distance {
				group = append(group, s)
			}
		}
		if len(group) > len(best) || len(group) == len(best) && slices.Index(samples, group[0]) < slices.Index(samples, best[0]) {
			best = group
		}
	}
	return slices.MinFunc(best, func(a, b sample) int { return cmp.Compare(a.distance, b.distance) }), len(best)
}
