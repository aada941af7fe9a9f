package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

var passwd = line.Verb{
	Name:     "passwd",
	Summary:  "Print the hashes of a password for storage.users: password_hash for FTP, smb_nt_hash for SMB. Both are secrets.",
	Operands: "[NAME]",
	Keys:     []line.Key{line.Output},
	Examples: []string{"imgbuild passwd ann", "echo 'correct horse' | imgbuild passwd ann output=json"},
	Run:      doPasswd,
}

func doPasswd(_ context.Context, a *line.Args) error {
	if len(a.Operands) > 1 {
		return fault.New(fault.Usage, "run imgbuild passwd [NAME]", "passwd takes one name")
	}
	word, err := newPassword()
	if err != nil {
		return err
	}
	crypt, nt := config.HashesOf(word)
	if a.JSON() {
		return printJSON(map[string]string{"password_hash": crypt, "smb_nt_hash": nt})
	}
	name := "NAME"
	if len(a.Operands) == 1 {
		name = a.Operands[0]
	}
	fmt.Printf("storage:\n  users:\n    %s:\n      uid: 1500\n      password_hash: '%s'\n      smb_nt_hash: %s\n", name, crypt, nt)
	return nil
}

// newPassword asks twice on a terminal, or reads the first line of standard input.
func newPassword() (string, error) {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		word := string(askSecret("Password: "))
		if word == "" {
			return "", fault.New(fault.Usage, "try again", "an empty password is none")
		}
		if string(askSecret("Once more: ")) != word {
			return "", fault.New(fault.Usage, "try again", "the two passwords differ")
		}
		return word, nil
	}
	text, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if word := strings.TrimRight(text, "\r\n"); word != "" {
		return word, nil
	}
	return "", fault.Wrap(err, fault.Usage, "give the password on standard input, or run it on a terminal", "there is no password")
}
