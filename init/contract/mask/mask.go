// Package mask takes secrets out of text: out of errors, logs and the support file of a node. It is
// the one place that knows what a secret looks like.
//
// Text works by form: what follows a name such as token or password, follows a flag such as
// -u, inside a URL, or has the form of a key. A Scrubber knows a node's own secrets as well and
// finds them wherever they are. Both would rather take too much than too little, and both leave a
// text alone that they have masked before.
package mask

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Stars replace a secret.
const Stars = "********"

// names are the ends of the names of values that are secrets, in any case.
const names = `(?:token|pass(?:w(?:or)?d|wd|phrase|code)?|pwd|secret|psk|cookie|credentials?|key-data|` +
	`(?:api|access|private|secret|encryption|signing|(?:pre)?_?-?shared|auth|account|master|storage|session|license)[_-]?key)`

// pattern is a regular expression that is compiled when it is first wanted: PID 1 mostly never
// does.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var nameForm = pattern(`(?i)` + names + `$`)

// Name reports whether the value of a variable, a key or a flag is a secret, by its name.
func Name(name string) bool { return nameForm().MatchString(name) }

// String is Text for a string.
func String(s string) string { return string(Text([]byte(s))) }

// form is what a secret looks like. Most texts hold none, and an expression costs a small board
// much more than a look for a word without which it cannot match.
type form struct {
	need []string // one of these, in small letters, is in the text
	re   func() *regexp.Regexp
	with string // what takes the place
}

// sep separates a flag and its value: on a command line, over the end of a line, and in a
// list.
const sep = `(?:["']?\s*,\s*["']?|[ \t]*(?:\\?\r?\n)?[ \t]*=?[ \t]*["']?)`

var forms = []form{
	{[]string{"private key"}, pattern(`(?i)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), Stars},
	{[]string{"age-secret"}, pattern(`AGE-SECRET-KEY-[A-Z0-9]{10,}`), Stars},
	{[]string{"ls0tls1crudjt"}, pattern(`LS0tLS1CRUdJT[A-Za-z0-9+/=]{20,}`), Stars}, // -----BEGIN in base64
	// k3s' long token, whose hash a terminal may have broken into lines.
	{[]string{"k10"}, pattern(`K10(?:\s?[0-9a-f]){16,}\s*::\s*[^\s"']+(?:\r?\n[ \t]*[0-9a-f]{6,}\b)?`), Stars},
	{[]string{"eyj"}, pattern(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`), Stars},
	{[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "xoxa-"}, pattern(`(?:gh[pousr]_|github_pat_|glpat-|xox[bpa]-)[A-Za-z0-9_-]{10,}`), Stars},
	{[]string{"$"}, pattern(`\$(?:1|2[aby]?|5|6|g?y|7)\$[^\s:"',]{8,}`), Stars},
	{[]string{"bearer"}, pattern(`(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}`), "${1}" + Stars},
	{[]string{"basic"}, pattern(`\b((?i:basic)\s+)(?:[A-Za-z0-9+/]{7,}=+|[a-z+/]*[A-Z0-9][A-Za-z0-9+/]{7,})`), "${1}" + Stars},
	{[]string{"?", "&"}, pattern(`(?i)([?&](?:key|sig|signature|auth|code|pw|x-amz-signature)=)[^&\s"'#]+`), "${1}" + Stars},
	{[]string{"sshpass", "mysql", "mariadb"}, pattern(`(?i)((?:sshpass|mysql\w*|mariadb\S*)\b[^\n]*?\s-p["']?` + `\s*["']?)([^\s"']+)`), "${1}" + Stars},
	{[]string{"-u"}, pattern(`((?:^|[\s"'])-U` + sep + `[^\s%"':]+%)[^\s"']+`), "${1}" + Stars}, // samba's programs
}

// Text returns b with Stars in the place of what looks like a secret. b itself is not changed.
func Text(b []byte) []byte { return find(b, false, func([]byte) {}) }

// Prose is Text for sentences of our own, in which the name of a key with a colon begins a message
// about it. There only a quoted value counts as a value after a colon and a space.
func Prose(text string) string { return string(find([]byte(text), true, func([]byte) {})) }

// Secrets lists what looks like a secret in a text by what is before it, so that it can be
// found again elsewhere.
func Secrets(text string) (list []string) {
	find([]byte(text), false, func(s []byte) {
		if v := string(s); !strings.HasPrefix(v, Stars) {
			list = append(list, v)
		}
	})
	return list
}

func find(b []byte, prose bool, found func([]byte)) []byte {
	low := bytes.ToLower(b)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(low, []byte(w)) })
	}
	for _, f := range forms {
		if has(f.need...) {
			b = f.re().ReplaceAll(b, []byte(f.with))
		}
	}
	if has("://") {
		b = urls(b, found)
	}
	if has("-u", "--user", "--proxy-user") {
		b = users(b, found)
	}
	if has("chpasswd") {
		b = accounts(b, found)
	}
	if has("-t") {
		b = tokens(b, found)
	}
	if has("token", "pass", "pwd", "secret", "psk", "key", "credential", "cookie", "authorization") {
		b = named(b, prose, found)
	}
	return b
}

var (
	userinfo  = pattern(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s:@"']*):([^\s"']*)@`)
	userinfo2 = pattern(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s:@"']*):([^\s@]*["'][^\s@]*)@`) // with a quote in the password
	bareUser  = pattern(`(https?://)([^/\s:@"'*]+)@`)                                      // a token alone
	port      = pattern(`^\d{0,5}(?:[/?#]|$)`)
)

// urls masks the password in a URL, which may hold an @, a slash or a quote if nobody encoded it.
func urls(b []byte, found func([]byte)) []byte {
	for _, re := range []func() *regexp.Regexp{userinfo, userinfo2} {
		b = re().ReplaceAllFunc(b, func(m []byte) []byte {
			p := re().FindSubmatch(m)
			if port().Match(p[3]) && bytes.ContainsAny(p[3], "/?#") { // host:port/..., with an @ after it
				return m
			}
			found(p[3])
			return slices.Concat(p[1], p[2], []byte(":"+Stars+"@"))
		})
	}
	return bareUser().ReplaceAll(b, []byte("${1}"+Stars+"@"))
}

var (
	userFlag  = pattern(`((?:^|[\s"'])(?:-u|-U|--user|--proxy-user)` + sep + `)([^\s:"'=,]+:)([^\s"']+)`)
	userSpace = pattern(`((?:^|[\s"'])(?:-u|-U|--user|--proxy-user)(?:["']?\s*,\s*|[ \t]*(?:\\?\r?\n)?[ \t]*=?[ \t]*))(?:"([^":\n]+:)([^"\n]*)"|'([^':\n]+:)([^'\n]*)')`)
	numbers   = pattern(`^\d+$`)
)

// users masks the password in curl's -u user:password and its like; -u 1000:1000 stays.
func users(b []byte, found func([]byte)) []byte {
	b = userSpace().ReplaceAllFunc(b, func(m []byte) []byte {
		p := userSpace().FindSubmatch(m)
		found(slices.Concat(p[3], p[5]))
		return slices.Concat(p[1], []byte(`"`), p[2], p[4], []byte(Stars+`"`))
	})
	return userFlag().ReplaceAllFunc(b, func(m []byte) []byte {
		p := userFlag().FindSubmatch(m)
		if numbers().Match(p[3]) && numbers().Match(bytes.TrimSuffix(p[2], []byte(":"))) {
			return m
		}
		found(p[3])
		return slices.Concat(p[1], p[2], []byte(Stars))
	})
}

var (
	account = pattern(`(^|[\s"'])([A-Za-z_][\w.-]*:)([^\s"'|]+)`)
	column  = pattern(`^\d{1,6}(?::\d{1,6})?:?$`) // of a place in a file
)

// accounts masks NAME:PASSWORD on lines that call chpasswd.
func accounts(b []byte, found func([]byte)) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte("chpasswd")) {
			line = account().ReplaceAllFunc(line, func(m []byte) []byte {
				p := account().FindSubmatch(m)
				if column().Match(p[3]) {
					return m
				}
				found(p[3])
				return slices.Concat(p[1], p[2], []byte(Stars))
			})
		}
		out = append(out, line...)
	}
	return out
}

var tokenFlag = pattern(`((?:^|[\s"'])-t` + sep + `)([^\s"',]+)`)

// tokens masks what follows -t, k3s' short form of --token, where it is as long as a token or the
// line speaks of k3s.
func tokens(b []byte, found func([]byte)) []byte {
	var out []byte
	for {
		at := tokenFlag().FindSubmatchIndex(b)
		if at == nil {
			return append(out, b...)
		}
		line := b[bytes.LastIndexByte(b[:at[0]+1], '\n')+1 : at[1]]
		out = append(out, b[:at[4]]...)
		value := b[at[4]:at[5]]
		if len(value) >= 16 && !bytes.HasPrefix(value, []byte("/")) || bytes.Contains(bytes.ToLower(line), []byte("k3s")) {
			found(value)
			value = []byte(Stars)
		}
		out = append(out, value...)
		b = b[at[5]:]
	}
}

// nothing are values that are not secrets.
var nothing = []string{"true", "false", "null", "none", "nil", "yes", "no", "set", "unset", "missing", "invalid", "required", "empty", "~", "{", "[", "{}", "[]", "|", ">"}

func isNothing(value string) bool {
	v := strings.ToLower(strings.TrimRight(value, ".,;:)}]"))
	return v == "" || strings.HasPrefix(value, Stars) || slices.Contains(nothing, v)
}
