package backup

import "time"

// Times of backups.
const (
	every      = 24 * time.Hour // how old a good one may become while its place can be reached
	firstRetry = 10 * time.Minute
	lastRetry  = 6 * time.Hour
)

// Due reports whether a backup to a place is to be made. plugged is set when the disk was attached
// since the last attempt, or the node has booted: then the last one may be an hour old. Clocks of
// boards jump: what was made in the future was made with a wrong one, and does not count.
func Due(p Place, plugged bool, now time.Time) bool {
	if p.Fails > 0 {
		pause := firstRetry
		for range p.Fails - 1 {
			pause = min(2*pause, lastRetry)
		}
		since := now.Sub(p.Tried)
		return plugged || since >= pause || since < 0
	}
	age := now.Sub(p.Good)
	if plugged {
		return age >= time.Hour || age < -time.Hour
	}
	return age >= every || age < -time.Hour
}
