package config

import "strings"

// RescueFile on BOOT asks for the rescue system, as the word shelf.rescue on the kernel's command
// line does: nobody has to get at that line, any computer can write this file. It is not a key of
// config.yaml, because it is read before anything else, and must work when config.yaml is what is
// wrong.
const RescueFile = "rescue.txt"

// RescueText is RescueFile as an image brings it.
const RescueText = "no\r\n\r\n" +
	"Write yes in place of no when the node does not come up, or when its data\r\n" +
	"must be looked at: it then starts without its data partition and without\r\n" +
	"its services, but with network and ssh as in config.yaml. There,\r\n" +
	"\"sudo shelf data\" shows what can be done. Write no again, here or with\r\n" +
	"\"sudo shelf rescue off\", to be back.\r\n"

// RescueAsked reads the first word of RescueFile. Only a no is a no: a file with nothing in it
// asks, too. Windows' editor may put a mark before the text, and NULs between its letters.
func RescueAsked(text []byte) bool {
	plain := strings.Map(func(r rune) rune {
		if r == 0 || r == '\ufeff' || r == '\ufffd' {
			return -1
		}
		return r
	}, string(text))
	words := strings.Fields(plain)
	if len(words) == 0 {
		return true
	}
	asked, known := Truth(strings.Trim(words[0], `.,;:"'`))
	return asked || !known
}
