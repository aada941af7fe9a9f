package longrun

import (
	"slices"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
)

// Bounds of what makes sense, and of what cannot be a mistake.
const (
	mostN       = 1_000_000
	mostMinutes = 60 * 24 * 365
)

// Parse reads the words of a command line.
func (c Command) Parse(words []string) (Options, error) {
	o := c.Default
	var seen []string
	for _, w := range words {
		bad := func(format string, args ...any) (Options, error) {
			return o, fault.New(fault.Usage, "make "+c.Name+" takes "+c.usage(), format, args...)
		}
		key, value, ok := strings.Cut(w, "=")
		meaning, known := map[string]string{"only": c.Only, "seed": c.Seed, "n": c.N, "minutes": c.Minutes, "against": c.Against}[key]
		switch {
		case !ok || !known:
			return bad("%q is not understood", w)
		case meaning == "":
			return bad("%s= means nothing to %s", key, c.Name)
		case slices.Contains(seen, key):
			return bad("%s= is given twice", key)
		}
		seen = append(seen, key)
		var err error
		switch key {
		case "only":
			if o.Only = value; value != "" && c.Choices != nil && !slices.Contains(c.Choices, value) {
				return bad("only=%s is none of %s", value, strings.Join(c.Choices, ", "))
			}
		case "seed":
			if o.Seed, err = strconv.ParseUint(value, 10, 64); err != nil {
				return bad("seed=%s is not a number from 0 on", value)
			}
		case "n":
			if o.N, err = strconv.Atoi(value); err != nil || o.N < 1 || o.N > mostN {
				return bad("n=%s is not a number from 1 to %d", value, mostN)
			}
		case "minutes":
			// Not a number is not above 0 either.
			if o.Minutes, err = strconv.ParseFloat(value, 64); err != nil || !(o.Minutes > 0) || o.Minutes > mostMinutes {
				return bad("minutes=%s is not a time above 0", value)
			}
		case "against":
			o.Against = value
		}
	}
	return o, nil
}
