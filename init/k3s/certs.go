package k3s

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Certificate is one that k3s has made for itself, and that it renews when it starts and at no
// other moment.
type Certificate struct {
	Name string // its file, relative to k3s' data directory
	Ends time.Time
}

// certificates reads those below k3s' data directory, without authorities, which last ten years and
// are not renewed.
func certificates(data string) ([]Certificate, error) {
	var list []Certificate
	for _, pattern := range []string{"server/tls/*.crt", "server/tls/*/*.crt", "agent/*.crt"} {
		files, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			return nil, fmt.Errorf("certificates of k3s: %w", err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("certificates of k3s: %w", err)
			}
			block, _ := pem.Decode(text) // the first of a chain is its own
			if block == nil {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil || c.IsCA {
				continue // k3s itself reports what it cannot use
			}
			list = append(list, Certificate{strings.TrimPrefix(file, data+"/"), c.NotAfter})
		}
	}
	return list, nil
}

// soonest is the certificate that ends first, without those that passed over has with the same end;
// the zero value for none.
func soonest(list []Certificate, passed map[string]time.Time) Certificate {
	var first Certificate
	for _, c := range list {
		if end, ok := passed[c.Name]; ok && end.Equal(c.Ends) {
			continue
		}
		if first.Name == "" || c.Ends.Before(first.Ends) {
			first = c
		}
	}
	return first
}
