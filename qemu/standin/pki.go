package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// pair is a certificate and its key.
type pair struct {
	cert    *x509.Certificate
	key     crypto.Signer
	certPEM []byte
	keyPEM  []byte
}

// keep reads a pair from files, or makes it and writes it: k3s' certificates survive a boot. signer nil makes a root.
func (n *node) keep(name string, template x509.Certificate, signer *pair) (*pair, error) {
	crt, key := n.path("server/tls/"+name+".crt"), n.path("server/tls/"+name+".key")
	certPEM, err := os.ReadFile(crt)
	if err == nil {
		keyPEM, err := os.ReadFile(key)
		if err != nil {
			return nil, err
		}
		return parsePair(certPEM, keyPEM)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p, err := makePair(template, signer)
	if err != nil {
		return nil, err
	}
	if err := writeFile(key, p.keyPEM, 0o600); err != nil {
		return nil, err
	}
	return p, writeFile(crt, p.certPEM, 0o644)
}

func parsePair(certPEM, keyPEM []byte) (*pair, error) {
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return &pair{c.Leaf, signer, certPEM, keyPEM}, nil
}

func makePair(template x509.Certificate, signer *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now()
	template.NotAfter = template.NotBefore.AddDate(1, 0, 0)
	parent, by := &template, crypto.Signer(key)
	if signer != nil {
		parent, by = signer.cert, signer.key
	} else {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), by)
	if err != nil {
		return nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return parsePair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// certificates are the five that matter to a node: two roots, the API's own, the administrator's.
type certificates struct{ serverCA, clientCA, api, admin *pair }

func (n *node) certificates() (c certificates, err error) {
	if c.serverCA, err = n.keep("server-ca", x509.Certificate{Subject: pkix.Name{CommonName: "k3s-server-ca"}}, nil); err != nil {
		return c, err
	}
	if c.clientCA, err = n.keep("client-ca", x509.Certificate{Subject: pkix.Name{CommonName: "k3s-client-ca"}}, nil); err != nil {
		return c, err
	}
	serving := x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, DNSNames: []string{"localhost", n.name()}, IPAddresses: append(addresses(), net.IPv4(127, 0, 0, 1)),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	// Addresses change between boots, and k3s makes a new serving certificate then; the roots stay.
	if c.api, err = makePair(serving, c.serverCA); err != nil {
		return c, err
	}
	c.admin, err = n.keep("client-admin", x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"system:masters"}, CommonName: "system:admin"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, c.clientCA)
	return c, err
}

func addresses() (ips []net.IP) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			ips = append(ips, n.IP)
		}
	}
	return ips
}
