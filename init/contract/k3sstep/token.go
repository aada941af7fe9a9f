package k3sstep

import (
	"crypto/subtle"
	"strings"

	"imgbuild/init/contract/fault"
)

// Secret is the password of a token: k3s writes K10HASH::USER:PASSWORD, people write PASSWORD
// (docs.k3s.io/cli/token).
func Secret(token string) string {
	token = strings.TrimSpace(token)
	if rest, ok := strings.CutPrefix(token, "K10"); ok {
		if _, credentials, ok := strings.Cut(rest, "::"); ok {
			if _, password, ok := strings.Cut(credentials, ":"); ok {
				return password
			}
			return credentials
		}
	}
	return token
}

// RotateCommand changes the token of a cluster.
const RotateCommand = "imgbuild token rotate"

// Token reports why a server with data must not start with a configured token: k3s encrypts what it
// keeps in its datastore with it, and ends immediately with another one. held is what k3s has kept
// in server/token. Nil where either is empty: k3s then takes the one that it kept, or makes one.
func Token(configured, held string) error {
	a, b := Secret(configured), Secret(held)
	if a == "" || b == "" || subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 {
		return nil
	}
	return fault.New(fault.Input, "put the token of the cluster into k3os.token, or take the key out; to change the token of the cluster run `"+RotateCommand+"`",
		"the data of this server were made with another token: k3s would not start")
}

// TokenState is what a node answers before the token of its cluster is changed.
type TokenState struct {
	Name    string   `json:"name"` // of the node in the cluster
	Role    string   `json:"role"`
	Ready   bool     `json:"ready"`             // its k3s runs
	Rotated bool     `json:"rotated"`           // a token that was rotated counts on it already
	Refused string   `json:"refused,omitempty"` // why the token cannot be changed on it
	Members []string `json:"members,omitempty"` // of a server: the nodes of the cluster
}
