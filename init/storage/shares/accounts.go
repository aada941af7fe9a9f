package shares

import (
	"fmt"
	"strings"
)

// Accounts are the lines of the users for passwd, group and shadow. Nobody of them has a shell. The
// hash of the probe account is not kept anywhere but in shadow, which is in memory.
func (p Plan) Accounts(probe string) (passwd, group, shadow []string) {
	groups := map[int]bool{}
	add := func(u User) {
		passwd = append(passwd, fmt.Sprintf("%s:x:%d:%d::%s/%s:/usr/sbin/nologin", u.Name, u.UID, u.GID, FTPDir, u.Name))
		if !groups[u.GID] {
			groups[u.GID] = true
			group = append(group, fmt.Sprintf("%s:x:%d:", u.Name, u.GID))
		}
		crypt := u.Crypt
		if crypt == "" {
			crypt = "!"
		}
		shadow = append(shadow, u.Name+":"+crypt+":::::::")
	}
	for _, u := range p.Users {
		add(u)
	}
	add(User{Name: Probe, UID: ProbeUID, GID: ProbeUID, Crypt: probe})
	return passwd, group, shadow
}

// Replace replaces the lines of ours in a file of accounts; before are the names that it had of us.
// Names of the system stay the system's.
func Replace(file string, before []string, now []string) string {
	name := func(line string) string { n, _, _ := strings.Cut(line, ":"); return n }
	ours := map[string]bool{}
	for _, n := range before {
		ours[n] = true
	}
	var b strings.Builder
	system := map[string]bool{}
	for line := range strings.Lines(file) {
		if line = strings.TrimRight(line, "\n"); line == "" || ours[name(line)] {
			continue
		}
		system[name(line)] = true
		b.WriteString(line + "\n")
	}
	for _, line := range now {
		if !system[name(line)] {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
