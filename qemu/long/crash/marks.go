package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// markArea is where the writer on the node notes what is acknowledged: in the space that the disk
// reserves for a second BOOT, which nothing uses.
const markArea = 200 << 20

// Mark is one acknowledgement; see writer.
type Mark struct {
	File   string `json:"file"`
	Seq    int    `json:"seq,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
	entry  int    // of the log: what comes later comes after the acknowledgement
}

// ReadMarks finds the marks among the entries.
func ReadMarks(r io.ReaderAt, entries []Entry) ([]Mark, error) {
	var marks []Mark
	for i, e := range entries {
		if e.Offset != markArea || e.Size == 0 {
			continue
		}
		data := make([]byte, e.Size)
		if _, err := r.ReadAt(data, e.At); err != nil {
			return nil, fmt.Errorf("mark: %w", err)
		}
		m := Mark{entry: i}
		if err := json.Unmarshal(bytes.TrimRight(data, "\x00"), &m); err != nil {
			return nil, fmt.Errorf("mark: %w", err)
		}
		marks = append(marks, m)
	}
	return marks, nil
}

// Due returns what must be there when the power goes before entry cut is over: of every file the
// last mark before it.
func Due(marks []Mark, cut int) map[string]Mark {
	due := map[string]Mark{}
	for _, m := range marks {
		if m.entry < cut {
			due[m.File] = m
		}
	}
	return due
}
