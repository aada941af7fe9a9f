package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
)

// scriptsHashLen is the length of a hash of scripts: 64 bits in hexadecimal. It shows that
// something changed; it does not protect against an attacker: the package itself has a sha256.
const scriptsHashLen = 16

// effect finds the lines of a maintainer script that change the system beyond the package's own
// files, other than by what an image never has (systemd, rc links, debconf, ldconfig): a command
// with such an effect in the position of a command, or output to a file.
var effect = regexp.MustCompile(`(?:^|[;&|({!\x60]|\b(?:then|else|do|if|elif)\b)\s*(?:[A-Z_]+=\S*\s+)*(?:/\S*/)?` +
	`(?:adduser|addgroup|useradd|groupadd|usermod|groupmod|systemd-sysusers|chown|chgrp|chmod|setcap|setfacl|` +
	`install|mkdir|mknod|ln|cp|mv|touch|update-alternatives|dpkg-statoverride|dpkg-divert|ucf|pam-auth-update|update-passwd|` +
	`update-ca-certificates|add-shell|tee)\s` +
	`|>\s*["'/$A-Za-z]`)

// harmless is output that goes nowhere; it is taken off before a line is looked at.
var harmless = regexp.MustCompile(`[0-9&]?>+\s*(?:/dev/(?:null|stderr|stdout)|&[0-9-])`)

// ScriptEffects returns the lines of preinst and postinst that have an effect we must have too,
// each with the script's name in front, white space folded, comments left out.
func ScriptEffects(scripts map[string][]byte) []string {
	var out []string
	for _, name := range []string{"preinst", "postinst"} {
		text := strings.ReplaceAll(string(scripts[name]), "\\\n", " ")
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.Join(strings.Fields(line), " ")
			if line == "" || line[0] == '#' || strings.HasPrefix(line, "echo ") || !effect.MatchString(harmless.ReplaceAllString(line, "")) {
				continue
			}
			out = append(out, name+": "+line)
		}
	}
	return out
}

// ScriptsHash is the hash of ScriptEffects, or "" when there are none.
func ScriptsHash(scripts map[string][]byte) string {
	lines := ScriptEffects(scripts)
	if len(lines) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Concat(lines, []string{""}), "\n")))
	return hex.EncodeToString(sum[:scriptsHashLen/2])
}
