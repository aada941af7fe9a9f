package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/storage/shares"
)

// How long a certificate is good, and how long before its end a new one is made.
const (
	certificateLife  = 10 * 365 * 24 * time.Hour
	certificateRenew = 365 * 24 * time.Hour
)

// certificate sees to the FTP server's own certificate, which is kept with the data, and shows it
// where vsftpd looks. Its key is of an elliptic curve, which takes milliseconds to make where RSA
// takes many seconds on a small board; vsftpd's default ciphers fail with it, ssl_ciphers=HIGH does
// not.
func certificate(kept, host string) error {
	text, err := os.ReadFile(kept)
	if err != nil || !good(text, host, time.Now()) {
		if text, err = newCertificate(host, time.Now()); err == nil {
			err = atomicfile.WriteAs(kept, text, 0o600, 0, 0)
		}
		if err != nil {
			return fault.Wrap(err, fault.Internal, "", "the certificate of the FTP server")
		}
	}
	if old, err := os.ReadFile(shares.FTPCert); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return atomicfile.WriteAs(shares.FTPCert, text, 0o600, 0, 0)
}

// good reports whether a certificate is of this host and will be valid for a while. A clock that is
// behind does not matter.
func good(text []byte, host string, now time.Time) bool {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return false
	}
	if key, _ := pem.Decode(rest); key == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	return err == nil && c.Subject.CommonName == host && now.Add(certificateRenew).Before(c.NotAfter)
}

// newCertificate makes a certificate and its key, as PEM. It is valid since long ago, because many
// boards do not know the time when they start.
func newCertificate(host string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host, host + ".local"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	err = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	return b.Bytes(), err
}
