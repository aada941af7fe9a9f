package squashfs

import (
	"io"
	"sync"
	"sync/atomic"
)

const blockRaw = 1 << 24 // in a data block's size: stored as it is

// job is one block on its way into the image.
type job struct {
	data []byte
	out  []byte // compressed; empty if data is stored as it is
	done chan struct{}
	// placed is called by the writing goroutine: where the block is, and its size word.
	placed func(at int64, size uint32)
	read   int64 // bytes of content read when the job was made
}

// pipeline compresses blocks on several goroutines and writes them in the order in which they were
// submitted. At most depth blocks are in it, which bounds its memory.
type pipeline struct {
	w       io.WriterAt
	encoder *encoder
	options Options
	work    chan *job // to the worker that is free
	order   chan *job // to the writing goroutine
	free    chan *job // jobs to use again, with their buffers
	stop    chan struct{}
	once    sync.Once
	err     error // why it stopped; read it after stop is closed
	wait    sync.WaitGroup
	at      int64 // next free position in w, of the writing goroutine

	encoded, hits atomic.Int64
}

func newPipeline(w io.WriterAt, enc *encoder, o Options, at int64) *pipeline {
	depth := 2 * o.Workers
	p := &pipeline{
		w: w, encoder: enc, options: o, at: at,
		work: make(chan *job, depth), order: make(chan *job, depth), free: make(chan *job, depth+1), stop: make(chan struct{}),
	}
	for range depth + 1 {
		p.free <- &job{}
	}
	p.wait.Add(o.Workers + 1)
	for range o.Workers {
		go p.compress()
	}
	go p.write()
	return p
}

// buffer waits for a free job; its data is empty and has the capacity of a block.
func (p *pipeline) buffer() (*job, error) {
	select {
	case <-p.stop:
		return nil, p.err
	case j := <-p.free:
		if j.data == nil {
			j.data = make([]byte, 0, p.options.BlockSize)
		}
		j.data, j.out, j.done = j.data[:0], j.out[:0], make(chan struct{})
		return j, nil
	}
}

// submit hands a job from buffer over. Neither channel can be full, since there are only as many
// jobs as places.
func (p *pipeline) submit(j *job) {
	p.order <- j
	p.work <- j
}

// finish waits until all is written and returns the end of the data.
func (p *pipeline) finish() (int64, error) {
	close(p.work)
	close(p.order)
	p.wait.Wait()
	return p.at, p.err
}

func (p *pipeline) fail(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.stop)
	})
}

func (p *pipeline) compress() {
	defer p.wait.Done()
	for j := range p.work {
		p.compressOne(j)
		close(j.done)
	}
}

func (p *pipeline) compressOne(j *job) {
	cache := p.options.Cache
	var key [32]byte
	if cache != nil {
		key = p.encoder.key(j.data)
		// Data as long as the block cannot come from here: it would have been stored as it is.
		if data, ok := cache.Get(key); ok && len(data) < len(j.data) {
			j.out = append(j.out[:0], data...)
			p.hits.Add(1)
			return
		}
	}
	out, ok := p.encoder.compress(j.out[:0], j.data)
	j.out = out
	if !ok {
		j.out = out[:0]
	}
	p.encoded.Add(int64(len(j.data)))
	if cache != nil {
		cache.Put(key, j.out)
	}
}

// write runs to the end of the queue after an error too, so that nobody waits for a place in it.
func (p *pipeline) write() {
	defer p.wait.Done()
	for j := range p.order {
		<-j.done
		data, size := j.out, uint32(len(j.out))
		if len(data) == 0 {
			data, size = j.data, uint32(len(j.data))|blockRaw
		}
		select {
		case <-p.stop:
		default:
			if _, err := p.w.WriteAt(data, p.at); err != nil {
				p.fail(err)
				break
			}
			j.placed(p.at, size)
			p.at += int64(len(data))
			if p.options.Progress != nil {
				p.options.Progress(j.read)
			}
		}
		p.free <- j
	}
}
