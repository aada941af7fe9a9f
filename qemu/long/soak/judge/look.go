package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// look prints what can be seen of the node, for parse. A zombie whose parent is PID 1 is one that
// PID 1 has not reaped.
const look = `sudo sh -c '
awk "/^VmRSS/ {print \"rss\", \$2} /^RssAnon/ {print \"anon\", \$2}" /proc/1/status
echo fds $(ls /proc/1/fd | wc -l)
cat /proc/[0-9]*/stat 2>/dev/null | sed "s/^.*) //" | awk "\$1 == \"Z\" && \$2 == 1 {z++} END {print \"zombies\", z+0}"
df -k / | awk "NR == 2 {print \"free\", \$4}"
cd /var/log/shelf && ls -l | awk "NR > 1 {print \"log\", \$5, \$9}"
for f in *.log; do echo "last $f $(tail -c 300 $f | tr "\\000\\n" "  ")"; done
ls -d /sys/fs/cgroup/shelf/*/ | sed "s/^/group /"
echo status; shelf status output=json || true'`

// Look is one look at a node.
type Look struct {
	RSS, Anon int64 // of PID 1, KiB; RSS has pages of the program, too
	Free      int64 // KiB
	FDs       int   // of PID 1
	Zombies   int   // that PID 1 has not reaped
	Logs      map[string]int64
	Last      map[string]string // the end of each unit's log
	Groups    []string
	Services  map[string]Service
}

// Service is shelf status' entry of one.
type Service struct {
	Name, Phase, Detail string
	PID, Starts         int
	Failures            int
	LastExit            string `json:"last_exit"`
}

// errSilent means that PID 1 did not answer within the limit of shelf.
var errSilent = errors.New("shelf status shows nothing")

// parse reads what look printed.
func parse(text string) (Look, error) {
	l := Look{Logs: map[string]int64{}, Last: map[string]string{}, Services: map[string]Service{}}
	head, status, ok := strings.Cut(text, "\nstatus\n")
	if !ok {
		return l, fmt.Errorf("the node shows no status:\n%.2000s", text)
	}
	if strings.TrimSpace(status) == "" {
		return l, errSilent
	}
	for line := range strings.Lines(head) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch {
		case f[0] == "rss":
			l.RSS = n
		case f[0] == "anon":
			l.Anon = n
		case f[0] == "fds":
			l.FDs = int(n)
		case f[0] == "zombies":
			l.Zombies = int(n)
		case f[0] == "free":
			l.Free = n
		case f[0] == "log" && len(f) == 3:
			unit, _, _ := strings.Cut(f[2], ".log")
			l.Logs[unit] += n
		case f[0] == "last":
			l.Last[strings.TrimSuffix(f[1], ".log")] = strings.Join(f[2:], " ")
		case f[0] == "group":
			parts := strings.Split(strings.Trim(f[1], "/"), "/")
			l.Groups = append(l.Groups, parts[len(parts)-1])
		}
	}
	var s struct{ Services []Service }
	if err := json.Unmarshal([]byte(status), &s); err != nil {
		return l, fmt.Errorf("shelf status: %w\n%.500s", err, status)
	}
	for _, u := range s.Services {
		l.Services[u.Name] = u
	}
	if l.RSS == 0 || l.Anon == 0 || l.FDs == 0 || len(l.Services) == 0 {
		return l, fmt.Errorf("the node does not show itself:\n%.2000s", text)
	}
	return l, nil
}

// line is what Unit.Seen is matched with.
func (l Look) line(name string) string {
	s := l.Services[name]
	return fmt.Sprintf("phase=%s detail=%s last=%s; starts=%d failures=%d log=%d %s", s.Phase, s.Detail, s.LastExit, s.Starts, s.Failures, l.Logs[name], l.Last[name])
}

// Bounds that hold at every moment. A log is a file of 1 MiB and three old ones
// (supervise.DefaultLogLimits).
const (
	rssLimit = 24 << 10 // KiB; some 14 MiB of it are pages of the program itself
	logLimit = 4<<20 + 64<<10
	fdsBase  = 40
	fdsUnit  = 8
	unreaped = 100     // zombies at one moment: they come faster than a slow machine looks
	growth   = 4 << 10 // KiB
)

// bounded returns what is out of bounds, and which of those that must not notice anything did.
func (l Look) bounded(before Look) (bad []string) {
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if l.RSS > rssLimit {
		say("PID 1 takes %d KiB", l.RSS)
	}
	if most := fdsBase + fdsUnit*len(l.Services); l.FDs > most {
		say("PID 1 has %d open files with %d services, at most %d are right", l.FDs, len(l.Services), most)
	}
	if l.Zombies > unreaped {
		say("%d zombies wait for PID 1", l.Zombies)
	}
	for name, size := range l.Logs {
		if size > logLimit {
			say("the log of %s has %d bytes", name, size)
		}
	}
	for name, was := range before.Services {
		if is := l.Services[name]; name == "sshd" || strings.HasPrefix(name, "good-") {
			if is.PID != was.PID || is.Starts != was.Starts || is.Phase != "ready" {
				say("%s was %+v and is %+v", name, was, is)
			}
		}
	}
	slices.Sort(bad)
	return bad
}

// rested compares a node that is rid of them with what it was before they came.
func (l Look) rested(before Look) (bad []string) {
	bad = l.bounded(before)
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	// Pages of the program come as they are used and stay: not they, but what it allocated is to be
	// as before.
	if l.Anon > before.Anon+growth {
		say("PID 1 had allocated %d KiB before, and %d after", before.Anon, l.Anon)
	}
	if l.FDs > before.FDs+4 {
		say("PID 1 had %d open files before, and %d after", before.FDs, l.FDs)
	}
	if l.Zombies > 0 {
		say("%d zombies are left", l.Zombies)
	}
	for name := range l.Services {
		if _, ok := before.Services[name]; !ok {
			say("the service %s is left", name)
		}
	}
	for _, g := range l.Groups {
		if !slices.Contains(before.Groups, g) {
			say("the control group %s is left", g)
		}
	}
	return bad
}

// idle lists the units that have not done yet what they are for.
func (l Look) idle(units []Unit) (names []string) {
	for _, u := range units {
		if !regexp.MustCompile(u.Seen).MatchString(l.line(u.Name)) {
			names = append(names, u.Name+": "+l.line(u.Name))
		}
	}
	return names
}
