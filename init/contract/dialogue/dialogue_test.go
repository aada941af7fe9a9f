package dialogue

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
)

var _ bundle.Source = (*Node)(nil)

// talk runs both ends and returns what the laptop's saw.
func talk(t *testing.T, l Laptop, node func(n *Node) error) (*Done, error) {
	t.Helper()
	up, down := pipe(), pipe()
	type end struct {
		done *Done
		err  error
	}
	ended := make(chan end)
	go func() {
		d, err := l.Serve(t.Context(), up.r, down.w)
		up.r.Close()
		down.w.Close()
		ended <- end{d, err}
	}()
	n := NewNode(down.r, up.w)
	if err := node(n); err != nil {
		_ = n.Say(Message{Error: ErrorOf(err)}) // the laptop may be gone
	}
	up.w.Close()
	e := <-ended
	return e.done, e.err
}

type ends struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func pipe() (e ends) {
	e.r, e.w = io.Pipe()
	return e
}

func closer(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

const text = "the bundle is this text, which is not long"

func good(seen *[]string) Laptop {
	note := func(s string) { *seen = append(*seen, s) }
	return Laptop{
		Hello: func(h Hello) error { note("hello " + h.Hostname); return nil },
		Range: func(_ context.Context, off, size int64) (io.ReadCloser, error) {
			if off+size > int64(len(text)) {
				return nil, fault.New(fault.Input, "give the whole file", "the file is shorter than that")
			}
			return closer(text[off:]), nil
		},
		File: func(_ context.Context, name string) (io.ReadCloser, int64, error) {
			return closer("binary"), 6, nil
		},
		Ask: func(step string) error {
			note("ask " + step)
			if step == StepArm {
				return fault.New(fault.Interrupted, "", "not now")
			}
			return nil
		},
		Receive: func(m Message) { note("tell " + m.Note) },
	}
}

func TestDialogue(t *testing.T) {
	var seen []string
	done, err := talk(t, good(&seen), func(n *Node) error {
		say := func(m Message) {
			if err := n.Say(m); err != nil {
				t.Error(err)
			}
		}
		say(Message{Hello: &Hello{Protocol: Version, Hostname: "one"}})
		for _, s := range []Range{{0, 10}, {4, 6}, {int64(len(text)) - 1, 1}, {3, 0}} {
			got, err := bundle.Read(t.Context(), n, s.Off, s.Size)
			if err != nil || string(got) != text[s.Off:s.Off+s.Size] {
				t.Errorf("range %+v: got %q, %v", s, got, err)
			}
		}
		// Bytes that are not read are skipped.
		r, err := n.Range(t.Context(), 0, 20)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
		say(Message{Note: "half"})
		// A refusal ends nothing.
		if _, err := n.Range(t.Context(), 0, 1000); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "give the whole file") {
			t.Errorf("got %v", err)
		}
		f, size, err := n.File(t.Context(), K3sFile)
		if err != nil {
			return err
		}
		if got, err := io.ReadAll(f); err != nil || size != 6 || string(got) != "binary" {
			t.Errorf("file: got %q of %d, %v", got, size, err)
		}
		if err := n.Ask(t.Context(), StepWrite); err != nil {
			t.Error(err)
		}
		if err := n.Ask(t.Context(), StepArm); fault.Code(err) != int(fault.Interrupted) {
			t.Errorf("got %v", err)
		}
		say(Message{Done: &Done{Result: Stopped, Stopped: StepArm}})
		return nil
	})
	if err != nil || done == nil || done.Stopped != StepArm {
		t.Errorf("got %+v, %v", done, err)
	}
	if got := strings.Join(seen, ", "); got != "hello one, tell half, ask write, ask arm" {
		t.Errorf("the laptop saw %s", got)
	}
}

// The node's error reaches the laptop with its kind and its way out.
func TestErrors(t *testing.T) {
	var seen []string
	_, err := talk(t, good(&seen), func(*Node) error { return fault.New(fault.Verify, "add the key", "the key is not trusted") })
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Verify || f.Fix != "add the key" || f.What != "the key is not trusted" {
		t.Errorf("got %#v", err)
	}
	l := good(&seen)
	l.Hello = func(Hello) error { return fault.New(fault.Input, "", "no bundle for it") }
	_, err = talk(t, l, func(n *Node) error {
		_ = n.Say(Message{Hello: &Hello{Protocol: Version}}) // a pipe may be closed by now
		if _, err := n.Range(t.Context(), 0, 1); fault.Code(err) != int(fault.Network) {
			t.Errorf("after the end: %v, want code %v", err, int(fault.Network))
		}
		return nil
	})
	if fault.Code(err) != int(fault.Input) {
		t.Errorf("got %v", err)
	}
	for _, m := range []Message{{Hello: &Hello{Protocol: Version + 1}}, {Range: &Range{0, 1}}} {
		_, err = talk(t, good(&seen), func(n *Node) error {
			_ = n.Say(m) // the laptop hangs up on it
			return nil
		})
		if fault.Code(err) != int(fault.Network) {
			t.Errorf("%+v: got %v", m, err)
		}
	}
	_, err = talk(t, good(&seen), func(n *Node) error {
		_, _ = n.out.Write([]byte("bash: shelf: command not found\n"))
		return nil
	})
	if fault.Code(err) != int(fault.Network) || !strings.Contains(err.Error(), "command not found") {
		t.Errorf("got %v", err)
	}
	// The source ends in the middle of an answer: both ends give up, and the node does not take
	// what follows for an answer.
	l = good(&seen)
	l.Range = func(context.Context, int64, int64) (io.ReadCloser, error) { return closer("short"), nil }
	_, err = talk(t, l, func(n *Node) error {
		_ = n.Say(Message{Hello: &Hello{Protocol: Version}})
		if _, err := bundle.Read(t.Context(), n, 0, 10); fault.Code(err) != int(fault.Network) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		if err := n.Ask(t.Context(), StepArm); err == nil {
			t.Error("the broken connection goes on")
		}
		return nil
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// Whatever the laptop answers, the node gets an error or what it asked for.
func FuzzNode(f *testing.F) {
	f.Add([]byte("{\"size\":3}\nabc{}\n"))
	f.Add([]byte("{\"size\":-3}\n"))
	f.Add([]byte("{\"error\":{\"what\":\"no\",\"code\":4}}\n{\"size\":3}\nab"))
	f.Add(bytes.Repeat([]byte("x"), maxLine+10))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := NewNode(bytes.NewReader(data), io.Discard)
		if got, err := bundle.Read(t.Context(), n, 0, 3); err == nil && len(got) != 3 {
			t.Errorf("got %d bytes", len(got))
		}
		_ = n.Ask(t.Context(), StepArm) // must end
	})
}
