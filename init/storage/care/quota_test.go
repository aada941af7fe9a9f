package care

import (
	"fmt"
	"testing"
)

func TestParseQuotas(t *testing.T) {
	for _, c := range []struct {
		enabled, mode string
		want          Quotas
	}{{"", "", NoQuotas}, {"0", "qgroup", NoQuotas}, {"1", "", FullQuotas}, {"1", "qgroup", FullQuotas}, {"1", "squota", SimpleQuotas}} {
		if got := ParseQuotas(c.enabled, c.mode); got != c.want {
			t.Errorf("%q, %q: got %v, want %v", c.enabled, c.mode, got, c.want)
		}
	}
}

// Counting is on only while a limit needs it, and nothing is done twice.
func TestQuotaSteps(t *testing.T) {
	a, b, none := Limit{"/srv/d/a", 5 << 30}, Limit{"/srv/d/b", 1 << 30}, Limit{"/srv/d/a", 0}
	for name, c := range map[string]struct {
		have, want     Quotas
		before, limits []Limit
		steps          string
	}{
		"nothing asked for":          {NoQuotas, FullQuotas, nil, []Limit{none}, "[]"},
		"a disk came with quotas":    {FullQuotas, FullQuotas, nil, nil, "[]"},
		"the first":                  {NoQuotas, FullQuotas, nil, []Limit{a}, "[[quota enable /srv/d] [qgroup limit 5368709120 /srv/d/a]]"},
		"simple":                     {NoQuotas, SimpleQuotas, nil, []Limit{a}, "[[quota enable --simple /srv/d] [qgroup limit 5368709120 /srv/d/a]]"},
		"as it is":                   {FullQuotas, FullQuotas, []Limit{a, b}, []Limit{a, b}, "[]"},
		"after a boot":               {FullQuotas, FullQuotas, nil, []Limit{a}, "[[qgroup limit 5368709120 /srv/d/a]]"},
		"another one":                {FullQuotas, FullQuotas, []Limit{a}, []Limit{a, b}, "[[qgroup limit 1073741824 /srv/d/b]]"},
		"another size":               {FullQuotas, FullQuotas, []Limit{a}, []Limit{{a.Dir, 6 << 30}}, "[[qgroup limit 6442450944 /srv/d/a]]"},
		"one goes":                   {FullQuotas, FullQuotas, []Limit{a, b}, []Limit{none, b}, "[[qgroup limit none /srv/d/a]]"},
		"the last goes":              {FullQuotas, FullQuotas, []Limit{a}, []Limit{none}, "[[quota disable /srv/d]]"},
		"the other way is kept":      {FullQuotas, SimpleQuotas, []Limit{a}, []Limit{a}, "[]"},
		"somebody switched them off": {NoQuotas, FullQuotas, []Limit{a}, []Limit{a}, "[[quota enable /srv/d] [qgroup limit 5368709120 /srv/d/a]]"},
	} {
		if got := fmt.Sprint(QuotaSteps("/srv/d", c.have, c.want, c.before, c.limits)); got != c.steps {
			t.Errorf("%s: got %s, want %s", name, got, c.steps)
		}
	}
}
