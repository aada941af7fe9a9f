package mdns

import "strings"

// Status is how the node is known by mDNS.
type Status struct {
	Name  string   `json:"name,omitempty"`  // "node1.local"; empty while it is not its own
	Links []string `json:"links"`           // interfaces on which it answers
	Taken string   `json:"taken,omitempty"` // the name of the configuration, if another machine has it
	By    string   `json:"by,omitempty"`    // that machine's address
}

// String is the status as one line for people.
func (s Status) String() string {
	text := "no name yet"
	if s.Name != "" {
		text = s.Name + " on " + strings.Join(s.Links, ", ")
	}
	if s.Taken != "" {
		text += ": " + s.By + " has " + s.Taken
	}
	return text
}
