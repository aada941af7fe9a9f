package bad

import (
	"sync"
	"time"
)

func bad(w *sync.WaitGroup) {
	f := func() {}
	go f()
	time.AfterFunc(time.Second, f)
	w.Go(func() { f() })
	w.Go(func() {
		defer guard.Catch()
		f()
	})
	guard.Go(f)
}
