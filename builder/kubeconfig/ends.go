package kubeconfig

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Access is a user's certificate in a file, as a context uses it.
type Access struct {
	Context string
	Ends    time.Time
}

// OwnEnds is Ends of this user's own file; nothing without one. host may have a user before it and
// a port after it.
func OwnEnds(host string) []Access {
	if _, h, ok := strings.Cut(host, "@"); ok {
		host = h
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	file, err := File("")
	if err != nil {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil // no access, no end
	}
	return Ends(data, host)
}

// Ends returns the contexts of a file that lead to a host, or to a cluster of that name, with the
// ends of their client certificates. A context without a certificate in the file itself is skipped,
// as is a file that cannot be read.
func Ends(data []byte, host string) []Access {
	var c struct {
		Clusters []struct {
			Name    string
			Cluster struct{ Server string }
		}
		Contexts []struct {
			Name    string
			Context struct{ Cluster, User string }
		}
		Users []struct {
			Name string
			User struct {
				Cert string `yaml:"client-certificate-data"`
			}
		}
	}
	if yaml.Unmarshal(data, &c) != nil {
		return nil
	}
	there := map[string]bool{}
	for _, cl := range c.Clusters {
		u, err := url.Parse(cl.Cluster.Server)
		there[cl.Name] = cl.Name == host || err == nil && u.Hostname() == host
	}
	ends := map[string]time.Time{}
	for _, u := range c.Users {
		text, err := base64.StdEncoding.DecodeString(u.User.Cert)
		if err != nil {
			continue
		}
		block, _ := pem.Decode(text)
		if block == nil {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			ends[u.Name] = cert.NotAfter.UTC()
		}
	}
	var list []Access
	for _, x := range c.Contexts {
		if end, ok := ends[x.Context.User]; ok && there[x.Context.Cluster] {
			list = append(list, Access{x.Name, end})
		}
	}
	return list
}
