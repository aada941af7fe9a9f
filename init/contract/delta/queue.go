package delta

import (
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/zstdblock"
)

// job is a block on its way through an encoder.
type job struct {
	unit         bundle.Unit
	content, out []byte
	done         chan struct{}
}

// queue encodes blocks on a few goroutines and hands them on in their order, on the goroutine of
// its user.
type queue struct {
	work  chan *job
	order []*job // submitted and not handed on, oldest first
	free  []*job
	depth int
	on    func(*job) error
}

func newQueue(workers int, on func(*job) error) *queue {
	q := &queue{work: make(chan *job, workers+1), depth: workers + 1, on: on}
	for range workers {
		go func() {
			var e zstdblock.Encoder
			for j := range q.work {
				var err error
				if j.out, err = codec.Encode(j.out[:0], &e, j.unit.Kind, j.content); err != nil {
					j.out = j.out[:0] // has no piece's hash
				}
				j.done <- struct{}{}
			}
		}()
	}
	return q
}

// job returns one to fill, when the oldest is through if there are as many as may be.
func (q *queue) job() (*job, error) {
	if len(q.order) == q.depth {
		if err := q.first(); err != nil {
			return nil, err
		}
	}
	if n := len(q.free); n > 0 {
		j := q.free[n-1]
		q.free = q.free[:n-1]
		return j, nil
	}
	return &job{done: make(chan struct{}, 1)}, nil
}

func (q *queue) submit(j *job) {
	q.order = append(q.order, j)
	q.work <- j
}

// first hands the oldest on.
func (q *queue) first() error {
	j := q.order[0]
	q.order = q.order[1:]
	<-j.done
	q.free = append(q.free, j)
	return q.on(j)
}

// close hands all on and ends the goroutines.
func (q *queue) close() error {
	var err error
	for len(q.order) > 0 {
		if e := q.first(); err == nil {
			err = e
		}
	}
	close(q.work)
	return err
}
