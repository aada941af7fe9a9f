package migrate

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
)

var k3sVersion = regexp.MustCompile(`^v1\.(\d{1,3})\.(\d{1,3})(?:-[a-z0-9]+)?[+-]k3s(\d{1,3})$`)

// parseVersion gives the minor version of a release of k3s, and its name with a plus sign.
func parseVersion(v string) (minor int, name string, ok bool) {
	m := k3sVersion.FindStringSubmatch(v)
	if m == nil {
		return 0, "", false
	}
	minor, _ = strconv.Atoi(m[1])
	if i := strings.LastIndex(v, "k3s"); i > 0 {
		v = v[:i-1] + "+" + v[i:]
	}
	return minor, v, true
}

// CheckJump reports whether a server's data of k3s version from may be started by version to.
// Kubernetes moves its servers one minor version at a time and never back; the error names the
// versions in between. A version that is not that of a release cannot be judged and gives nil.
func CheckJump(from, to string) error {
	a, from, ok := parseVersion(from)
	b, to, known := parseVersion(to)
	switch {
	case !ok || !known || b == a || b == a+1:
		return nil
	case b < a:
		return fault.New(fault.Input, "use an image with that k3s or the next minor version", "the data are those of k3s %s, and the image has the older %s: a server never moves back", from, to)
	}
	var stages []string
	for minor := a + 1; minor < b; minor++ {
		stages = append(stages, fmt.Sprintf("v1.%d", minor))
	}
	return fault.New(fault.Input,
		fmt.Sprintf("move the old node through the newest release of each of %s first (https://update.k3s.io/v1-release/channels/%s names it, and so on), or build an image for each step with k3s=FILE and say its version to migrate as k3s=VERSION, or begin a new cluster: mode=fresh",
			strings.Join(stages, ", "), stages[0]),
		"the data are those of k3s %s and the image has %s: a server moves one minor version at a time", from, to)
}

// IsVersion reports whether v names a release of k3s.
func IsVersion(v string) bool {
	_, _, ok := parseVersion(v)
	return ok
}
