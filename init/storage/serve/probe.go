package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/status/health"
	"imgbuild/init/storage/nfs"
	"imgbuild/init/storage/shares"
	"imgbuild/init/storage/smb"
)

// Where the servers are asked.
const (
	nfsAddress = "127.0.0.1:2049"
	smbAddress = "127.0.0.1:445"
	ftpAddress = "127.0.0.1:21"
)

// Probes are the storage's part in the health of a node: real requests, of the kind that clients
// make.
func (s *Server) Probes() []health.Probe {
	return []health.Probe{
		{Check: checks.NFS, Ask: s.askNFS},
		{Check: checks.SMB, Ask: s.askSMB},
		{Check: checks.FTP, Ask: s.askFTP},
	}
}

// askNFS makes a NULL call and EXCHANGE_ID, and looks every export up.
func (s *Server) askNFS(ctx context.Context) error {
	c, err := nfs.Dial(ctx, nfsAddress)
	if err != nil {
		return fmt.Errorf("the NFS server does not answer: %w", err)
	}
	defer c.Close()
	if err := c.Null(); err != nil {
		return fmt.Errorf("the NFS server does not answer a NULL call: %w", err)
	}
	if err := c.ExchangeID(); err != nil {
		return fmt.Errorf("the NFS server accepts no client: %w", err)
	}
	for _, dir := range s.exported() {
		if _, err := c.Lookup(dir); err != nil {
			return fmt.Errorf("the NFS server does not serve %s: %w", dir, err)
		}
	}
	s.keepPeers()
	return nil
}

// askSMB negotiates and sets a session up as the probe account.
func (s *Server) askSMB(ctx context.Context) error {
	if err := smb.Login(ctx, smbAddress, shares.Probe, config.NTHash(s.secret())); err != nil {
		return fmt.Errorf("the SMB server: %w", err)
	}
	return nil
}

// askFTP reads the banner, begins TLS where it is on, and logs in as the probe account.
func (s *Server) askFTP(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", ftpAddress)
	if err != nil {
		return fmt.Errorf("the FTP server does not answer: %w", err)
	}
	defer func() { conn.Close() }()
	end, _ := ctx.Deadline()
	_ = conn.SetDeadline(end)
	r := bufio.NewReader(conn)
	say := func(line, want string) error {
		if line != "" {
			if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
				return err
			}
		}
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if len(text) > 3 && text[3] == '-' { // of several lines; the last has a space there
				continue
			}
			if !strings.HasPrefix(text, want) {
				return fmt.Errorf("the FTP server answers %q to %s, not %s", strings.TrimSpace(text), strings.Fields(line + " its banner")[0], want)
			}
			return nil
		}
	}
	if err := say("", "220"); err != nil {
		return err
	}
	if s.plan().Settings.FTP.TLS != "off" {
		if err := say("AUTH TLS", "234"); err != nil {
			return err
		}
		// The certificate is our own and signed by nobody: what counts is that it works.
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("the FTP server does not encrypt: %w", err)
		}
		conn, r = secure, bufio.NewReader(secure)
	}
	if err := say("USER "+shares.Probe, "331"); err != nil {
		return err
	}
	if err := say("PASS "+s.secret(), "230"); err != nil {
		return err
	}
	return say("QUIT", "221")
}
