package clock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

var image = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func TestRaise(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		now, saved time.Time
		want       time.Time
		must       bool
	}{
		"fresh card, no battery":    {time.Unix(0, 0), time.Time{}, image, true},
		"saved later than image":    {time.Unix(0, 0), image.Add(day), image.Add(day), true},
		"saved before a new image":  {time.Unix(0, 0), image.Add(-day), image, true},
		"saved absurd":              {time.Unix(0, 0), image.Add(21 * 365 * day), image, true},
		"clock is ahead of all":     {image.Add(2 * day), image.Add(day), image.Add(day), false},
		"clock between image, save": {image.Add(day / 2), image.Add(day), image.Add(day), true},
		"battery, nothing saved":    {image.Add(day), time.Time{}, image, false},
	} {
		if got, must := raise(c.now, image, c.saved); !got.Equal(c.want) || must != c.must {
			t.Errorf("%s: got %s, %v", name, got, must)
		}
	}
}

func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "clock")
	if s, err := Saved(path); err != nil || !s.IsZero() {
		t.Errorf("nothing saved: %v, %v", s, err)
	}
	for _, at := range []time.Time{image, image.Add(time.Hour), image.Add(time.Minute)} {
		if err := Save(path, at); err != nil {
			t.Fatal(err)
		}
		if s, err := Saved(path); err != nil || !s.Equal(at) {
			t.Errorf("saved %s, got %s, %v", at, s, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(filepath.Join(file, "clock"), image); err == nil {
		t.Error("saved below a file")
	}
	// A clock that is right already is left alone, so this needs no privilege.
	if raised, err := Restore(path, time.Unix(1, 0)); raised || err != nil {
		t.Errorf("%v, %v", raised, err)
	}
}

func TestTiers(t *testing.T) {
	cfg := &config.Config{}
	if got := Tiers(cfg, nil); !reflect.DeepEqual(got, [][]string{pool}) {
		t.Errorf("%v", got)
	}
	cfg.Time.Servers, cfg.K3OS.NTPServers = []string{"a", "b", "a"}, []string{"c"}
	if got := Tiers(cfg, nil); !reflect.DeepEqual(got, [][]string{{"a", "b"}, {"c"}, pool}) {
		t.Errorf("%v", got)
	}
	if got := Tiers(cfg, []string{"b", "d"}); !reflect.DeepEqual(got, [][]string{{"a", "b"}, {"d"}, pool}) {
		t.Errorf("%v", got)
	}
}

func TestChoose(t *testing.T) {
	s := func(name string, offset, distance int) sample {
		return sample{name, time.Duration(offset) * time.Millisecond, time.Duration(distance) * time.Millisecond, 2}
	}
	for _, c := range []struct {
		in   []sample
		want string
	}{
		{[]sample{s("a", 0, 10)}, "a"},
		{[]sample{s("a", 0, 10), s("liar", 9000, 1)}, "a"}, // one against one: the first
		{[]sample{s("liar", 9000, 1), s("a", 0, 10), s("b", 5, 4)}, "b"},
		{[]sample{s("a", 0, 10), s("b", 15, 10), s("c", 30, 10)}, "a"},
		{[]sample{s("x", -5000, 1), s("a", 100, 50), s("y", 5000, 1), s("b", 120, 9), s("c", 110, 30)}, "b"},
	} {
		if got, _ := choose(c.in); got.server != c.want {
			t.Errorf("%v: got %s", c.in, got.server)
		}
	}
}

// ntpServer answers with the time that shift returns, until the test ends. bend may spoil the
// packet (48 bytes, RFC 5905, 7.3).
func ntpServer(t *testing.T, shift time.Duration, bend func([]byte)) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		q := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(q)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			stamp := func(at time.Time) []byte {
				sec := uint64(at.Unix() + 2208988800)
				return binary.BigEndian.AppendUint64(nil, sec<<32|uint64(at.Nanosecond())<<32/1e9)
			}
			now := time.Now().Add(shift)
			r := bytes.NewBuffer([]byte{4<<3 | 4, 2, 6, 0xEC, 0, 0, 0, 16, 0, 0, 0, 32, 'T', 'E', 'S', 'T'})
			r.Write(stamp(now.Add(-time.Minute)))
			r.Write(q[40:48])
			r.Write(stamp(now))
			r.Write(stamp(now))
			p := r.Bytes()
			if bend != nil {
				bend(p)
			}
			_, _ = c.WriteTo(p, from)
		}
	}()
	return c.LocalAddr().String()
}

func TestAsk(t *testing.T) {
	floor := time.Now().Add(-24 * time.Hour)
	right := ntpServer(t, time.Hour, nil)
	right2 := ntpServer(t, time.Hour, nil)
	liar := ntpServer(t, 400*24*time.Hour, nil)
	kiss := ntpServer(t, time.Hour, func(p []byte) { p[1] = 0; copy(p[12:], "RATE") })
	unsynced := ntpServer(t, time.Hour, func(p []byte) { p[0] |= 0xC0 })
	old := ntpServer(t, -40*24*time.Hour, nil)
	s, err := ask(t.Context(), []string{kiss, liar, unsynced, right, old, right2}, floor)
	if err != nil || (s.offset-time.Hour).Abs() > time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = ask(t.Context(), []string{kiss, unsynced, old}, floor)
	if err == nil || !strings.Contains(err.Error(), kiss+": kiss of death") || !strings.Contains(err.Error(), "the image is of") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(ctx, []string{right}, floor); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// book is a Keeper whose clock is a number in a list.
func book(answers func() (sample, error)) (*Keeper, *[]string) {
	var did []string
	k := New(image, "", func() [][]string { return [][]string{{"x"}} }, func(string, ...any) {})
	k.ask = func(context.Context, []string, time.Time) (sample, error) { return answers() }
	k.step = func(d time.Duration) error { did = append(did, "step "+d.String()); return nil }
	k.slew = func(d time.Duration) error { did = append(did, "slew "+d.String()); return nil }
	k.mark = func(time.Duration) {}
	k.save = func() error { did = append(did, "save"); return nil }
	return k, &did
}

func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := []time.Duration{-1, -1, time.Hour, 100 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second, 2 * time.Second, 0}
		k, did := book(nil)
		var at []time.Duration
		began := time.Now()
		k.ask = func(context.Context, []string, time.Time) (sample, error) {
			at = append(at, time.Since(began))
			d := script[min(len(at), len(script))-1]
			if d < 0 {
				return sample{}, errors.New("x: no answer")
			}
			return sample{"x", d, time.Millisecond, 2}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { k.Run(ctx); close(over) }()
		if err := k.Wait(ctx, time.Second); fault.Code(err) != int(fault.Network) || !strings.Contains(err.Error(), "x: no answer") {
			t.Errorf("got %v", err)
		}
		if err := k.Wait(ctx, time.Hour); err != nil {
			t.Error(err)
		}
		if s := k.Status(); !s.Synced || s.Server != "x" || s.Offset != time.Hour {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		cancel()
		<-over
		// Refused twice, then settled, then ever less often; a disturbed clock is looked at again
		// soon.
		want := []time.Duration{0, 2, 6, 66, 186, 246, 276, 336, 456, 696, 1176}
		for i, w := range want {
			if i >= len(at) || at[i] != w*time.Second {
				t.Fatalf("asked at %v, want %v s", at, want)
			}
		}
		var changes []string
		saves := 0
		for _, d := range *did {
			if d == "save" {
				saves++
			} else if d != "slew 0s" {
				changes = append(changes, d)
			}
		}
		if got := fmt.Sprint(changes); got != "[step 1h0m0s slew 100ms slew 400ms step 2s]" {
			t.Errorf("did %s", got)
		}
		if saves < 12+2+1 {
			t.Errorf("saved %d times in an hour", saves)
		}
		if (*did)[len(*did)-1] != "save" {
			t.Errorf("the end was not saved: got %q, want %q", (*did)[len(*did)-1], "save")
		}
	})
}

// A small offset at the start needs no step; a change of the network makes the keeper ask
// immediately.
func TestKeeperKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		k, did := book(func() (sample, error) {
			if !up {
				return sample{}, errors.New("network is unreachable")
			}
			return sample{"x", 20 * time.Millisecond, time.Millisecond, 2}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { k.Run(ctx); close(over) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		up = true
		began := time.Now()
		k.Kick()
		<-k.synced
		if d := time.Since(began); d != 0 {
			t.Errorf("took %s, want 0", d)
		}
		cancel()
		<-over
		if got := strings.Join(*did, ","); !strings.Contains(got, "slew 20ms") || strings.Contains(got, "step") {
			t.Errorf("did %s", got)
		}
	})
}

// One answer that is far off, from a server that was right before, does not move the clock; an
// answer that comes twice does.
func TestKeeperBelievesWhatIsSaidTwice(t *testing.T) {
	var said time.Duration
	k, did := book(func() (sample, error) { return sample{"x", said, time.Millisecond, 2}, nil })
	for _, said = range []time.Duration{time.Hour, 0, 3 * time.Second, 10 * time.Millisecond, -time.Hour, time.Hour, time.Hour + 100*time.Millisecond, 0} {
		k.round(t.Context(), settle)
	}
	if got := strings.ReplaceAll(strings.Join(*did, ","), "save,", ""); got != "step 1h0m0s,slew 0s,slew 10ms,step 1h0m0.1s,slew 0s" {
		t.Errorf("did %s", got)
	}
	if s := k.Status(); !s.Synced || s.Offset != 0 {
		t.Errorf("%+v", s)
	}
}

// Nothing sends the clock of a machine of 32 bits beyond the end of its seconds in 2038, neither a
// server nor what was saved.
func TestFarthest(t *testing.T) {
	if end := farthest(32); end.Unix() > math.MaxInt32 || end.Year() != 2038 {
		t.Errorf("32 bits end at %s", end)
	}
	last := Farthest().Add(-time.Second)
	if _, err := unix.TimeToTimespec(last); err != nil {
		t.Errorf("this machine cannot show %s: %v", last, err)
	}
	floor := Farthest().Add(-24 * time.Hour)
	if !plausible(floor, floor) || plausible(Farthest(), floor) {
		t.Error("the end of time is not where it is")
	}
	if to, must := raise(time.Unix(0, 0), floor, Farthest().Add(time.Hour)); !must || !to.Equal(floor) {
		t.Errorf("raised to %s", to)
	}
}

// In February 2036 the seconds of NTP begin again (RFC 5905, 6), and a leap second announced is no
// reason to refuse a server.
func TestAskAcrossTheEra(t *testing.T) {
	era := time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC)
	leap := func(p []byte) { p[0] |= 1 << 6 }
	for _, shift := range []time.Duration{time.Until(era.Add(-time.Hour)), time.Until(era.Add(time.Hour)), time.Until(era.Add(365 * 24 * time.Hour))} {
		s, err := ask(t.Context(), []string{ntpServer(t, shift, leap)}, time.Now().Add(-time.Hour))
		if err != nil || (s.offset-shift).Abs() > time.Minute {
			t.Errorf("%s: %+v, %v", time.Now().Add(shift).Format(time.DateTime), s, err)
		}
	}
}

// A clock that cannot be set is an error each time, not a synced clock. At boot the first network
// may have no way to a server: what comes right by itself within a moment is no news.
func TestKeeperGrace(t *testing.T) {
	known, why := false, "nobody answers"
	k, _ := book(func() (sample, error) {
		if known {
			return sample{server: "192.0.2.1"}, nil
		}
		return sample{}, errors.New(why)
	})
	var said []string
	k.say = func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	at := time.Unix(1e9, 0)
	k.began, k.now = at, func() time.Time { return at }
	k.round(t.Context(), soon)
	if len(said) != 0 || !strings.Contains(k.Status().Why, "nobody answers") {
		t.Errorf("immediately: %q, %q", said, k.Status().Why)
	}
	for _, d := range []time.Duration{grace, time.Second} {
		at = at.Add(d)
		k.round(t.Context(), soon)
		if len(said) != 1 || !strings.Contains(said[0], "no time from any server: nobody answers") {
			t.Errorf("later: %q", said)
		}
	}
	why = "another reason"
	k.round(t.Context(), soon)
	if len(said) != 1 {
		t.Errorf("another reason immediately: %q, want length 1", said)
	}
	at = at.Add(again)
	k.round(t.Context(), soon)
	if len(said) != 2 {
		t.Errorf("another reason later: %q, want length 2", said)
	}
	known = true
	k.round(t.Context(), soon)
	known, said = false, nil
	k.round(t.Context(), settle)
	if len(said) != 1 {
		t.Errorf("lost again: %q, want length 1", said)
	}
}

// An error that differs from one try to the next for no reason would be reported each time.
func TestReason(t *testing.T) {
	late := &net.OpError{Op: "read", Net: "udp", Source: &net.UDPAddr{Port: 4711}, Err: os.ErrDeadlineExceeded}
	for want, err := range map[string]error{
		"no answer":                           late,
		"no name server answers for its name": &net.DNSError{Err: late.Error(), Name: "x", IsTimeout: true},
		"there is no such name":               &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true},
		"network is unreachable":              &net.OpError{Op: "dial", Source: &net.UDPAddr{Port: 4712}, Err: os.NewSyscallError("connect", unix.ENETUNREACH)},
	} {
		if got := reason(fmt.Errorf("asking: %w", err)).Error(); !strings.Contains(got, want) || strings.Contains(got, "47") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestKeeperCannotSet(t *testing.T) {
	k, _ := book(func() (sample, error) { return sample{"x", time.Hour, 1, 2}, nil })
	k.step = func(time.Duration) error { return os.ErrPermission }
	if pause := k.round(t.Context(), soon); pause != late || k.Status().Synced {
		t.Errorf("%s, %+v", pause, k.Status())
	}
	k.servers = func() [][]string { return nil }
	k.round(t.Context(), soon)
	if k.Status().Why != "no time server is known" {
		t.Errorf("%+v", k.Status())
	}
}

// Two of three that agree are a majority: nobody waits for the silent third, whatever it may
// answer.
func TestMajorityIsEnough(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	asked := make(chan struct{}, 1)
	go func() {
		if _, _, err := silent.ReadFrom(make([]byte, 512)); err == nil {
			asked <- struct{}{}
		}
	}()
	began := time.Now()
	s, err := ask(t.Context(), []string{silent.LocalAddr().String(), ntpServer(t, time.Hour, nil), ntpServer(t, time.Hour, nil)}, began.Add(-24*time.Hour))
	if err != nil || (s.offset-time.Hour).Abs() > time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
	<-asked // it was among those asked
}

// A server that guesses is followed only when no other one answers, and never back.
func TestKeeperGuess(t *testing.T) {
	answers := map[string]sample{}
	k, did := book(nil)
	k.servers = func() [][]string { return [][]string{{"router"}, {"pool"}} }
	k.ask = func(_ context.Context, tier []string, _ time.Time) (sample, error) {
		if s, ok := answers[tier[0]]; ok {
			s.server = tier[0]
			return s, nil
		}
		return sample{}, errors.New(tier[0] + ": no answer")
	}
	for _, c := range []struct {
		name    string
		answers map[string]sample
		server  string
		did     string
	}{
		{"back", map[string]sample{"router": {offset: -time.Hour, stratum: 10}}, "router", ""},
		{"a little back", map[string]sample{"router": {offset: -100 * time.Millisecond, stratum: 10}}, "router", "slew -100ms"},
		{"somebody knows", map[string]sample{"router": {offset: time.Hour, stratum: 10}, "pool": {offset: 20 * time.Millisecond, stratum: 2}}, "pool", "slew 20ms"},
		{"the router knows", map[string]sample{"router": {offset: 30 * time.Millisecond, stratum: 4}, "pool": {offset: 20 * time.Millisecond, stratum: 2}}, "router", "slew 30ms"},
		{"nobody is there", map[string]sample{}, "router", ""},
	} {
		answers, *did = c.answers, nil
		k.round(t.Context(), settle)
		var changes []string
		for _, d := range *did {
			if d != "save" {
				changes = append(changes, d)
			}
		}
		if got, s := strings.Join(changes, " "), k.Status(); got != c.did || s.Server != c.server || !s.Synced {
			t.Errorf("%s: did %q by %q, want %q by %q", c.name, got, s.Server, c.did, c.server)
		}
	}
	// The first answer may be a guess, forward: a shelf without uplink has one time.
	k, did = book(func() (sample, error) { return sample{"router", time.Hour, time.Second, 10}, nil })
	k.round(t.Context(), soon)
	if got := strings.Join(*did, " "); got != "step 1h0m0s save" || !k.Status().Synced || k.Status().Level != 10 {
		t.Errorf("forward: got %q, %+v", got, k.Status())
	}
}
