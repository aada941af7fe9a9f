package config

import (
	"strings"

	"imgbuild/init/contract/mask"
)

// Secrets lists the secrets of a configuration, so that they can be kept out of a node's messages:
// the values of secret keys and variables, passwords in URLs, and what looks like a secret in
// commands and arguments.
func (c *Config) Secrets() []string {
	list := []string{c.K3OS.Token, c.K3OS.Password, c.Shelf.SSHHostKey, c.Shelf.NodePassword}
	for _, w := range c.AllWiFi() {
		list = append(list, w.Passphrase)
	}
	for _, name := range sortedNames(c.Storage.Users) {
		u := c.Storage.Users[name]
		list = append(list, u.PasswordHash, u.SMBNTHash)
	}
	for _, name := range sortedNames(c.Storage.Backup.To) {
		list = append(list, c.Storage.Backup.To[name].SigningKey)
	}
	texts := []string{c.Backup.To, c.K3OS.ServerURL, strings.Join(c.K3OS.K3sArgs, " ")}
	texts = append(append(append(append(texts, c.K3OS.DataSources...), c.InitCmd...), c.BootCmd...), c.RunCmd...)
	texts = append(texts, c.SSHAuthorizedKeys...)
	variables := func(env map[string]string) {
		for _, name := range sortedNames(env) {
			if mask.Name(name) {
				list = append(list, env[name])
			}
			texts = append(texts, env[name])
		}
	}
	variables(c.K3OS.Environment)
	for _, name := range sortedNames(c.Services) {
		s := c.Services[name]
		variables(s.Environment)
		texts = append(texts, strings.Join(s.Command, " "), strings.Join(s.Ready.Command, " "))
	}
	for _, t := range texts {
		list = append(list, mask.Secrets(t)...)
	}
	return list
}
