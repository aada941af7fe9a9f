package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// qmp speaks QEMU's machine protocol over a connection that QEMU inherited: one JSON object a line,
// commands answered in order, events in between (QEMU, docs/interop/qmp-spec).
type qmp struct {
	mu sync.Mutex // one command at a time
	w  io.Writer
	in chan reply

	removed deletions
}

type reply struct {
	Event string `json:"event"`
	Data  struct {
		Device string `json:"device"`
	} `json:"data"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

func newQMP(conn io.ReadWriter) *qmp {
	q := &qmp{w: conn, in: make(chan reply, 8), removed: deletions{count: map[string]int{}, news: make(chan struct{})}}
	go q.read(conn)
	return q
}

func (q *qmp) read(r io.Reader) {
	defer close(q.in)
	defer q.removed.end()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a reply
		switch err := json.Unmarshal(lines.Bytes(), &a); {
		case err != nil:
		case a.Event == "DEVICE_DELETED":
			q.removed.add(a.Data.Device)
		case a.Return != nil || a.Error != nil:
			q.in <- a
		}
	}
}

// do runs a command and decodes its answer into out unless that is nil. Errors: QEMU's own,
// io.ErrUnexpectedEOF when it is gone.
func (q *qmp) do(command string, args map[string]any, out any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	line, err := json.Marshal(map[string]any{"execute": command, "arguments": orEmpty(args)})
	if err != nil {
		return err
	}
	if _, err := q.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	a, ok := <-q.in
	if !ok {
		return fmt.Errorf("QMP %s: %w", command, io.ErrUnexpectedEOF)
	}
	if a.Error != nil {
		return fmt.Errorf("QMP %s: %s: %s", command, a.Error.Class, a.Error.Desc)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.Return, out)
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
