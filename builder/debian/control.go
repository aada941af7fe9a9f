package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxStanza bounds one stanza of a control file, in bytes. The largest ones, Release files, have
// about 200 KB.
const maxStanza = 16 << 20

// field is one field of a stanza: a lower-cased name and the value without the white space around
// it. The lines of a folded value are separated by '\n', each without the space that it began with.
type field struct{ name, value []byte }

// stanzaReader reads control data (Debian Policy 5.1): stanzas of "Name: value" lines and
// continuation lines that begin with white space, separated by empty lines; lines that begin with
// '#' are comments.
type stanzaReader struct {
	r      *bufio.Reader
	line   int // number of the last line read
	buf    []byte
	spans  []span
	fields []field
	dup    bool // repeated fields are an error
}

// span is where a field is in buf, which moves while it grows.
type span struct{ start, colon, end int }

func newStanzaReader(r io.Reader) *stanzaReader {
	return &stanzaReader{r: bufio.NewReaderSize(r, 64<<10), dup: true}
}

// next returns the fields of the next stanza; they are valid until the next call. io.EOF comes
// after the last one.
func (s *stanzaReader) next() ([]field, error) {
	s.buf, s.spans = s.buf[:0], s.spans[:0]
	for {
		start := len(s.buf)
		err := s.readLine()
		if err != nil && err != io.EOF {
			return nil, err
		}
		line := s.buf[start:]
		if len(bytes.TrimRight(line, " \t")) == 0 {
			s.buf = s.buf[:start]
			if len(s.spans) > 0 {
				return s.finish()
			}
			if err == io.EOF {
				return nil, io.EOF
			}
			continue
		}
		if e := s.take(start); e != nil {
			return nil, e
		}
	}
}

// readLine appends the next line to buf without its end. io.EOF comes with the last line or alone.
func (s *stanzaReader) readLine() error {
	s.line++
	start := len(s.buf)
	for {
		chunk, err := s.r.ReadSlice('\n')
		s.buf = append(s.buf, chunk...)
		if len(s.buf) > maxStanza {
			return fmt.Errorf("line %d: stanza longer than %d bytes", s.line, maxStanza)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(s.buf[start:], []byte("\n")), []byte("\r")) // of this line only: the one before may end in one
		s.buf = s.buf[:start+len(line)]
		return err
	}
}

// take makes the line at start a part of the stanza.
func (s *stanzaReader) take(start int) error {
	line := s.buf[start:]
	switch {
	case line[0] == '#':
		s.buf = s.buf[:start]
	case line[0] == ' ' || line[0] == '\t':
		if len(s.spans) == 0 {
			return fmt.Errorf("line %d: a continuation line without a field", s.line)
		}
		line[0] = '\n'
		s.spans[len(s.spans)-1].end = len(s.buf)
	default:
		i := bytes.IndexByte(line, ':')
		if i <= 0 || !fieldName(line[:i]) {
			return fmt.Errorf("line %d: no field name before a colon: %.60q", s.line, line)
		}
		for k := range i {
			if c := line[k]; c >= 'A' && c <= 'Z' {
				line[k] = c + 'a' - 'A'
			}
		}
		if s.dup {
			for _, p := range s.spans {
				if bytes.Equal(s.buf[p.start:p.colon], line[:i]) {
					return fmt.Errorf("line %d: field %q appears twice", s.line, line[:i])
				}
			}
		}
		s.spans = append(s.spans, span{start, start + i, len(s.buf)})
	}
	return nil
}

// fieldName: printable ASCII, no space (Policy 5.1).
func fieldName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func (s *stanzaReader) finish() ([]field, error) {
	s.fields = s.fields[:0]
	for _, p := range s.spans {
		s.fields = append(s.fields, field{s.buf[p.start:p.colon], bytes.TrimSpace(s.buf[p.colon+1 : p.end])})
	}
	return s.fields, nil
}
