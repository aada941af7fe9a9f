package config

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used. Compiling all of them
// when the program starts would cost PID 1 milliseconds before its first line, and most boots use
// few of them.
type pattern struct {
	text string
	once sync.Once
	re   *regexp.Regexp
}

func (p *pattern) compiled() *regexp.Regexp {
	p.once.Do(func() { p.re = regexp.MustCompile(p.text) })
	return p.re
}

// MatchString reports whether the pattern is found in s.
func (p *pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }
