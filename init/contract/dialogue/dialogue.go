// Package dialogue is how an upgrade goes over ssh: the node asks, the laptop answers. The laptop
// runs `sudo shelf upgrade --serve` and keeps its input and output.
//
// The node writes messages to its standard output, one line of JSON each. Three of them ask for
// something: range, file and ask. The laptop answers each on the node's standard input, in order,
// with one line of JSON and, for range and file, as many bytes as that line gives. The first
// message is hello, the last one done or error; then the node closes its output.
//
// Node is the node's end, Serve the laptop's.
package dialogue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/fault"
)

// Version of the protocol. A node with another one gives it in its hello.
const Version = 1

// K3sFile is the name by which the node asks for the k3s binary of a system that does not hold one
// (manifest.K3s with the source firstboot).
const K3sFile = "k3s"

// Steps that the node asks permission for. An error as the answer stops the upgrade there, with
// everything as it is: before StepWrite the slot is untouched, before StepArm it is written and
// whole, before StepReboot it is armed.
const (
	StepWrite  = "write"  // signature, family, role, floor, size and free space are accepted; nothing is written
	StepArm    = "arm"    // the slot is written and read back, what it needs is there
	StepReboot = "reboot" // the slot is armed: the next boot tries it
)

// Message is a message of the node. Exactly one field is set.
type Message struct {
	Hello    *Hello    `json:"hello,omitempty"`
	Range    *Range    `json:"range,omitempty"` // bytes of the bundle, please
	File     string    `json:"file,omitempty"`  // a file next to the bundle, please
	Ask      string    `json:"ask,omitempty"`   // may this step be done? See StepWrite
	Progress *Progress `json:"progress,omitempty"`
	Note     string    `json:"note,omitempty"` // a sentence for people
	Done     *Done     `json:"done,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// Hello is what the laptop has to know to choose or make a bundle.
type Hello struct {
	Protocol int             `json:"protocol"`
	Hostname string          `json:"hostname"`
	Family   string          `json:"family"`
	Arch     string          `json:"arch"`
	Role     string          `json:"role"`
	Version  string          `json:"version"`            // of the running system
	Slot     string          `json:"slot"`               // that runs: a or b
	Running  string          `json:"running"`            // sha256 of the running slot's manifest.json: deltas start from it
	Encoders []codec.Encoder `json:"encoders,omitempty"` // that the node has
	Keys     []string        `json:"keys,omitempty"`     // trusted public keys
	Floor    int64           `json:"floor"`              // security floor that was committed
	Space    int64           `json:"room"`               // bytes of a slot's partition
	K3s      string          `json:"k3s,omitempty"`      // version of the running system's
}

// Range is a closed range of the bundle, in bytes.
type Range struct {
	Off  int64 `json:"off"`
	Size int64 `json:"size"`
}

// Progress is how far a phase has come, in bytes.
type Progress struct {
	Phase string  `json:"phase"` // write, read back, k3s
	Done  int64   `json:"done"`
	Total int64   `json:"total"`
	Rate  float64 `json:"rate,omitempty"` // bytes per second
	Left  float64 `json:"left,omitempty"` // seconds, estimated
}

// Done is how the upgrade ended on this system. The result of a trial is in the status of the
// node (upgrade) and in `shelf history -o json`, under the same bundle.
type Done struct {
	Result  string `json:"result"`            // same, stopped, armed
	Bundle  string `json:"bundle"`            // sha256 of the new slot's manifest.json, which names it
	Version string `json:"version"`           // of the new slot
	Slot    string `json:"slot"`              // a or b, where it is
	Stopped string `json:"stopped,omitempty"` // the step that was not allowed
	Reboot  bool   `json:"reboot"`            // the node reboots into it now
	Seconds int64  `json:"seconds"`           // that the trial may take after the start of its services

	Kept    int64 `json:"kept"`    // bytes that were there already
	Copied  int64 `json:"copied"`  // from the old slot
	Patched int64 `json:"patched"` // made by a delta
	Fetched int64 `json:"fetched"` // whole
	Delta   int64 `json:"delta"`   // bytes of the delta
}

// Results of Done.
const (
	Same    = "same"    // the system runs already, or waits already: nothing to do
	Stopped = "stopped" // the laptop did not allow a step
	Armed   = "armed"
)

// Error is an error of the node, as package fault has it.
type Error struct {
	What string `json:"what"`
	Fix  string `json:"fix,omitempty"`
	Code int    `json:"code"`
}

// ErrorOf returns the message for an error.
func ErrorOf(err error) *Error {
	e := &Error{What: err.Error(), Code: fault.Code(err)}
	var f *fault.Error
	if errors.As(err, &f) && f.Fix != "" {
		e.Fix = f.Fix
		if head, ok := bytes.CutSuffix([]byte(e.What), []byte("; "+f.Fix)); ok {
			e.What = string(head)
		}
	}
	return e
}

// Err returns the error of a message.
func (e *Error) Err() error { return fault.New(fault.Kind(e.Code), e.Fix, "%s", e.What) }

// Answer is the line with which the laptop answers. After a range Size is what was asked for; the
// bytes follow the line.
type Answer struct {
	Size  int64  `json:"size,omitempty"`
	Error *Error `json:"error,omitempty"` // nothing follows
}

// maxLine bounds a line of either side in bytes.
const maxLine = 64 << 10

// readLine reads one line of JSON into v. At the end of the stream the error is io.EOF.
func readLine(r *bufio.Reader, v any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return fault.New(fault.Network, "look at what the other side prints", "a line of more than %d bytes instead of a message", maxLine)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fault.New(fault.Network, "look at what the other side prints", "this is not a message: %.80q: %v", line, err)
	}
	return nil
}

// writeLine writes v as one line in one write.
func writeLine(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("dialogue: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
