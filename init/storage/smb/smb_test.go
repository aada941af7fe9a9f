package smb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// The example of MS-NLMP 4.2.4.1.1.
func TestNTOWF2(t *testing.T) {
	hash, _ := hex.DecodeString(config.NTHash("Password"))
	if got, want := hex.EncodeToString(ntowf2(hash, "User", "Domain")), "0c868a403bfd7a93a3001ef22ef02e3f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// server plays a server that knows one user and checks the NTLMv2 response as in MS-NLMP 3.3.2.
func server(conn net.Conn, user, password string, flags uint16) error {
	challenge := []byte("8 bytes!")
	info := []byte{7, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0}
	for step := 0; ; step++ {
		var size [4]byte
		if _, err := readFull(conn, size[:]); err != nil {
			return nil
		}
		msg := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := readFull(conn, msg); err != nil {
			return err
		}
		status, body := uint32(0), make([]byte, 64)
		switch step {
		case 0:
			le.PutUint16(body[4:], dialect)
		case 1:
			status = moreToCome
			m := append([]byte(ntlmSignature), 2, 0, 0, 0)
			m = append(m, make([]byte, 36)...)
			copy(m[24:], challenge)
			le.PutUint16(m[40:], uint16(len(info)))
			le.PutUint32(m[44:], 48)
			body = append(body[:8], append(m, info...)...)
		case 2:
			m := msg[bytes.Index(msg, []byte(ntlmSignature)):]
			part := func(at int) []byte {
				n, off := int(le.Uint16(m[at:])), int(le.Uint32(m[at+4:]))
				return m[off : off+n]
			}
			nt, name := part(20), part(36)
			hash, _ := hex.DecodeString(config.NTHash(password))
			want := mac(ntowf2(hash, user, ""), append(append([]byte(nil), challenge...), nt[16:]...))
			if !bytes.Equal(name, utf16le(user)) || !bytes.Equal(nt[:16], want) || !bytes.Contains(nt, info) {
				status = 0xC000006D
			}
			le.PutUint16(body[2:], flags)
		}
		head := make([]byte, headerSize)
		copy(head, "\xfeSMB")
		le.PutUint32(head[8:], status)
		copy(head[12:14], msg[12:14])
		le.PutUint64(head[40:], 99)
		if step == 2 && le.Uint64(msg[40:]) != 99 {
			return errors.New("the session's number is not kept")
		}
		out := append(head, body...)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(out))), out...)); err != nil {
			return err
		}
	}
}

func readFull(conn net.Conn, b []byte) (int, error) {
	for n := 0; n < len(b); {
		m, err := conn.Read(b[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return len(b), nil
}

func TestLogin(t *testing.T) {
	for name, c := range map[string]struct {
		user, password string
		flags          uint16
		want           string
	}{
		"right":          {"ann", "secret", 0, ""},
		"wrong password": {"ann", "other", 0, "refuses the login"},
		"wrong user":     {"bob", "secret", 0, "refuses the login"},
		"as a guest":     {"ann", "secret", guestSession, "guest"},
	} {
		ours, theirs := net.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- server(theirs, "ann", "secret", c.flags) }()
		hash, _ := hex.DecodeString(config.NTHash(c.password))
		err := login(ours, c.user, hash)
		ours.Close()
		if fault := <-ended; fault != nil {
			t.Errorf("%s: %v, want nil", name, fault)
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if err := Login(t.Context(), "127.0.0.1:1", "ann", "xyz"); err == nil || !strings.Contains(err.Error(), "32 hex digits") {
		t.Errorf("a bad hash: %v", err)
	}
}

// Whatever a server sends as a challenge, it is read or refused.
func FuzzChallenge(f *testing.F) {
	f.Add(append([]byte(ntlmSignature), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		challenge, info, err := type2(body)
		if err != nil {
			return
		}
		if len(challenge) != 8 {
			t.Errorf("a challenge of %d bytes, want 8", len(challenge))
		}
		if _, err := type3("ann", make([]byte, 16), challenge, info); err != nil {
			t.Error(err)
		}
	})
}
