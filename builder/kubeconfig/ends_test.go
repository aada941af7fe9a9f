package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestEnds(t *testing.T) {
	end := time.Date(2027, 11, 30, 12, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	of := func(name, address, cert string) []byte {
		return []byte(strings.NewReplacer("NAME", name, "ADDRESS", address, "CERT", cert).Replace(`kind: Config
clusters: [{name: NAME, cluster: {server: "https://ADDRESS:6443"}}]
contexts: [{name: NAME, context: {cluster: NAME, user: NAME}}]
users: [{name: NAME, user: {client-certificate-data: CERT}}]
`))
	}
	fresh, other := of("shelf-1", "192.168.1.10", cert), of("shelf-2", "192.168.1.11", "Q0VSVA==") // which is not a certificate
	both, err := Merge(other, fresh)
	if err != nil {
		t.Fatal(err)
	}
	want := []Access{{"shelf-1", end}}
	for host, want := range map[string][]Access{"192.168.1.10": want, "shelf-1": want, "shelf-2": nil, "192.168.1.11": nil, "elsewhere": nil} {
		if got := Ends(both, host); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
	if got := Ends([]byte("a: ["), "shelf-1"); got != nil {
		t.Errorf("no YAML: got %v", got)
	}
}
