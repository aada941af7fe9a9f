package turn

import (
	"fmt"
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	count := [10]int{}
	for i := range 10000 {
		name := fmt.Sprintf("node%d", i)
		n := Number(name, len(count))
		if n != Number(name, len(count)) {
			t.Fatalf("%s has two numbers", name)
		}
		count[n]++
	}
	for n, c := range count {
		if c < 700 || c > 1300 {
			t.Errorf("%d of 10000 names have the number %d", c, n)
		}
	}
}

func TestCredible(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for left, want := range map[time.Duration]bool{-time.Hour: true, 0: true, 15 * time.Minute: true, 15*time.Minute + time.Second: false, 24 * time.Hour: false} {
		if Credible(now.Add(left), now, 15*time.Minute) != want {
			t.Errorf("%v left of 15 minutes: not %v", left, want)
		}
	}
}
