// Package smb asks an SMB server whether it serves: NEGOTIATE and a session setup with a user's NT
// hash, as far as a client goes before it opens a share.
//
// Wire formats: MS-SMB2 (2.2.3 to 2.2.6) and MS-NLMP (2.2.1, 3.3.2). The dialect is SMB 2.1, which
// needs neither encryption nor signing for this.
package smb

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
	"unicode/utf16"
)

// Numbers of the protocol.
const (
	headerSize    = 64
	negotiate     = 0
	sessionSetup  = 1
	dialect       = 0x0210
	moreToCome    = 0xC0000016
	guestSession  = 1
	messageLimit  = 1 << 20
	ntlmFlags     = 0x1 | 0x4 | 0x200 | 0x8000 | 0x80000 | 0x800000 | 0x20000000 | 0x80000000
	type3Header   = 64
	ntlmSignature = "NTLMSSP\x00"
)

var le = binary.LittleEndian

// Login negotiates with the server at address and sets a session up for a user. ntHash is 32 hex
// digits. It ends with ctx, or after ten seconds.
func Login(ctx context.Context, address, user, ntHash string) error {
	hash, err := hex.DecodeString(ntHash)
	if err != nil || len(hash) != md5.Size {
		return errors.New("an NT hash has 32 hex digits")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	return login(conn, user, hash)
}

func login(conn io.ReadWriter, user string, hash []byte) error {
	s := &session{conn: conn}
	body := make([]byte, 36, 38)
	le.PutUint16(body[0:], 36)
	le.PutUint16(body[2:], 1) // one dialect
	le.PutUint16(body[4:], 1) // signing is possible
	if _, err := rand.Read(body[12:28]); err != nil {
		return err
	}
	status, answer, err := s.ask(negotiate, le.AppendUint16(body, dialect))
	if err != nil {
		return err
	}
	if status != 0 || len(answer) < 6 || le.Uint16(answer[4:]) != dialect {
		return fmt.Errorf("it does not speak SMB 2.1 (status %#x)", status)
	}
	status, answer, err = s.ask(sessionSetup, setup(type1()))
	if err != nil {
		return err
	}
	if status != moreToCome {
		return fmt.Errorf("it asks for no password (status %#x)", status)
	}
	challenge, info, err := type2(answer)
	if err != nil {
		return err
	}
	msg, err := type3(user, hash, challenge, info)
	if err != nil {
		return err
	}
	status, answer, err = s.ask(sessionSetup, setup(msg))
	switch {
	case err != nil:
		return err
	case status != 0:
		return fmt.Errorf("it refuses the login (status %#x)", status)
	case len(answer) < 4 || le.Uint16(answer[2:])&guestSession != 0:
		return errors.New("it takes the login for a guest's")
	}
	return nil
}

// session numbers messages.
type session struct {
	conn    io.ReadWriter
	message uint64
	id      uint64
}

// ask sends a request and returns the status and the body of its answer.
func (s *session) ask(command uint16, body []byte) (status uint32, answer []byte, err error) {
	h := make([]byte, headerSize)
	copy(h, "\xfeSMB")
	le.PutUint16(h[4:], headerSize)
	le.PutUint16(h[6:], 1) // credit charge
	le.PutUint16(h[12:], command)
	le.PutUint16(h[14:], 1) // credits asked for
	le.PutUint64(h[24:], s.message)
	le.PutUint64(h[40:], s.id)
	s.message++
	if _, err := s.conn.Write(append(append(binary.BigEndian.AppendUint32(nil, uint32(len(h)+len(body))), h...), body...)); err != nil {
		return 0, nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(s.conn, size[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < headerSize || n > messageLimit {
		return 0, nil, fmt.Errorf("its answer has %d bytes", n)
	}
	msg := make([]byte, n)
	if _, err := io.ReadFull(s.conn, msg); err != nil {
		return 0, nil, err
	}
	if string(msg[:4]) != "\xfeSMB" || le.Uint16(msg[12:]) != command {
		return 0, nil, errors.New("its answer does not fit the question")
	}
	s.id = le.Uint64(msg[40:])
	return le.Uint32(msg[8:]), msg[headerSize:], nil
}

// setup is the body of SESSION_SETUP.
func setup(token []byte) []byte {
	b := make([]byte, 24)
	le.PutUint16(b[0:], 25)
	b[3] = 1 // signing is possible
	le.PutUint16(b[12:], headerSize+24)
	le.PutUint16(b[14:], uint16(len(token)))
	return append(b, token...)
}

// type1 is NTLM's NEGOTIATE_MESSAGE.
func type1() []byte {
	b := append([]byte(ntlmSignature), 1, 0, 0, 0)
	return append(le.AppendUint32(b, ntlmFlags), make([]byte, 16)...)
}

// type2 reads NTLM's CHALLENGE_MESSAGE out of the body of an answer.
func type2(body []byte) (challenge, info []byte, err error) {
	at := bytes.Index(body, []byte(ntlmSignature))
	if at < 0 || len(body)-at < 48 {
		return nil, nil, errors.New("its answer has no challenge")
	}
	m := body[at:]
	length, offset := uint64(le.Uint16(m[40:])), uint64(le.Uint32(m[44:]))
	if offset+length > uint64(len(m)) {
		return nil, nil, errors.New("its challenge is cut short")
	}
	return m[24:32], m[offset : offset+length], nil
}

// type3 is NTLM's AUTHENTICATE_MESSAGE with an NTLMv2 response.
func type3(user string, hash, challenge, info []byte) ([]byte, error) {
	temp := make([]byte, 28, 32+len(info))
	temp[0], temp[1] = 1, 1
	le.PutUint64(temp[8:], fileTime(info))
	if _, err := rand.Read(temp[16:24]); err != nil {
		return nil, err
	}
	temp = append(append(temp, info...), 0, 0, 0, 0)
	proof := mac(ntowf2(hash, user, ""), append(append([]byte(nil), challenge...), temp...))
	nt, name := append(proof, temp...), utf16le(user)

	b := append([]byte(ntlmSignature), 3, 0, 0, 0)
	var payload []byte
	field := func(data []byte) {
		b = le.AppendUint16(b, uint16(len(data)))
		b = le.AppendUint16(b, uint16(len(data)))
		b = le.AppendUint32(b, uint32(type3Header+len(payload)))
		payload = append(payload, data...)
	}
	for _, data := range [][]byte{make([]byte, 24), nt, nil, name, nil, nil} { // LM, NT, domain, user, workstation, key
		field(data)
	}
	return append(le.AppendUint32(b, ntlmFlags), payload...), nil
}

// fileTime is the server's time out of its target information (MsvAvTimestamp, 7), 0 without one.
func fileTime(info []byte) uint64 {
	for len(info) >= 4 {
		id, n := le.Uint16(info), int(le.Uint16(info[2:]))
		if info = info[4:]; n > len(info) {
			return 0
		}
		if id == 7 && n == 8 {
			return le.Uint64(info)
		}
		info = info[n:]
	}
	return 0
}

// ntowf2 is NTOWFv2 of MS-NLMP 3.3.2.
func ntowf2(hash []byte, user, domain string) []byte {
	return mac(hash, utf16le(strings.ToUpper(user)+domain))
}

func mac(key, data []byte) []byte {
	h := hmac.New(md5.New, key)
	h.Write(data)
	return h.Sum(nil)
}

func utf16le(s string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = le.AppendUint16(b, c)
	}
	return b
}
