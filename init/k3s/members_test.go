package k3s

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

func TestMembers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "limit=20":
			fmt.Fprint(w, `{"metadata":{"continue":"a b"},"items":[{"metadata":{"name":"one","labels":{"node-role.kubernetes.io/control-plane":"true","node-role.kubernetes.io/etcd":"true"}},"status":{"nodeInfo":{"kubeletVersion":"v1.35.0+k3s1"}}}]}`)
		case "limit=20&continue=a+b":
			fmt.Fprint(w, `{"items":[{"metadata":{"name":"two","labels":{"etcd":"x"}},"status":{"nodeInfo":{"kubeletVersion":"v1.34.1+k3s1"}}}]}`)
		default:
			http.Error(w, "no", http.StatusNotFound)
		}
	}))
	defer s.Close()
	got, err := cluster{s.Client(), s.URL}.members(t.Context())
	want := []Member{{"one", "v1.35.0+k3s1", true, true}, {"two", "v1.34.1+k3s1", false, false}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
