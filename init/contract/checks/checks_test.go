package checks

import (
	"reflect"
	"testing"
)

func TestChecks(t *testing.T) {
	var names []string
	for _, c := range All {
		names = append(names, c.Name)
		if c.Means == "" || c.Floor && c.Advisory || c.Probe && c.Unit == "" {
			t.Errorf("%+v", c)
		}
	}
	if err := Valid(names); err != nil {
		t.Error(err)
	}
	if err := Valid([]string{Usr, "nonsense"}); err == nil {
		t.Error("an unknown name is valid")
	}
	if err := Valid([]string{Usr, Usr}); err == nil {
		t.Error("a name that is listed twice is valid")
	}
	if got, want := Floor(), []string{Usr, Data, Writable, Config, Address, SSHD}; !reflect.DeepEqual(got, want) {
		t.Errorf("the floor is %q, want %q", got, want)
	}
}
