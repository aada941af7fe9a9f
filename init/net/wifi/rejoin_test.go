package wifi

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A radio whose network gives it no address joins again, ever more rarely; one that has an address,
// or is in no network, is left alone.
func TestRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		news := make(chan struct{})
		joined, addressed := false, false
		var at []time.Duration
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			Repair(ctx, func() <-chan struct{} { return news }, func() (bool, bool) { return joined, addressed }, func() { at = append(at, time.Since(began)) })
		}()
		become := func(j, a bool) {
			synctest.Wait()
			joined, addressed = j, a
			old := news
			news = make(chan struct{})
			close(old)
			synctest.Wait()
		}
		expect := func(want ...time.Duration) {
			t.Helper()
			synctest.Wait()
			if len(at) != len(want) {
				t.Fatalf("joined again at %v, want %v", at, want)
			}
			for i := range want {
				if at[i] != want[i] {
					t.Fatalf("joined again at %v, want %v", at, want)
				}
			}
		}
		time.Sleep(time.Hour)
		become(true, false)
		time.Sleep(patient / 2)
		become(true, false) // something else changed
		time.Sleep(patient/2 + time.Second)
		first := time.Hour + patient
		expect(first)
		become(false, false) // as it does when it joins again
		become(true, false)
		time.Sleep(2 * patient)
		second := first + time.Second + 2*patient
		expect(first, second)
		become(true, true)
		time.Sleep(24 * time.Hour)
		expect(first, second)
		become(true, false)
		gave := time.Since(began)
		time.Sleep(patient)
		expect(first, second, gave+patient)
		stop()
		<-over
	})
}

func TestOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wlan0")
	if err := order(path, "RECONNECT"); err == nil {
		t.Error("nobody is there, and it is not an error")
	}
	s, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	orders := make(chan string, 4)
	go func() {
		buf := make([]byte, 100)
		for _, answer := range []string{"OK\n", "OK\n", "FAIL\n"} {
			n, from, err := s.ReadFromUnix(buf)
			if err != nil {
				return
			}
			orders <- string(buf[:n])
			s.WriteToUnix([]byte(answer), from)
		}
	}()
	if err := order(path, "DISCONNECT", "RECONNECT"); err != nil || <-orders != "DISCONNECT" || <-orders != "RECONNECT" {
		t.Error(err)
	}
	if err := order(path, "RECONNECT"); err == nil || !strings.Contains(err.Error(), "FAIL") {
		t.Errorf("a refusal: %v", err)
	}
}
