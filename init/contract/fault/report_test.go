package fault

import "testing"

func TestFromReport(t *testing.T) {
	for text, want := range map[string][2]string{
		"what went wrong: no disk\nhow to fix it:   attach one\n":                                       {"no disk", "attach one"},
		"what went wrong: a long\n                 story\nhow to fix it:   do\n                 this\n": {"a long story", "do this"},
		"20 % done\nwhat went wrong: no disk\n":                                                         {"no disk", ""},
		"shelf: no disk; attach one\n":                                                                  {"no disk; attach one", ""},
		"sh: shelf: not found\n":                                                                        {"sh: shelf: not found", ""},
		"":                                                                                              {},
	} {
		if what, fix := FromReport(text); what != want[0] || fix != want[1] {
			t.Errorf("%q: got %q and %q, want %q", text, what, fix, want)
		}
	}
}
