package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"imgbuild/init/contract/fault"
	"imgbuild/init/status/control"
)

// defaultLines is how many lines of a log are shown unless -n says otherwise.
const defaultLines = 100

// logs shows the newest lines of a service's log, and with -f those to come. Without a name it lists the logs.
func logs(args []string) error {
	words, asJSON, err := options(args)
	if err != nil {
		return err
	}
	name, follow, lines, err := logWords(words)
	if err != nil {
		return err
	}
	if name == "" {
		var names []string
		if err := control.Call(control.Socket, control.Request{Verb: "lognames"}, &names); err != nil {
			return err
		}
		if asJSON {
			return printJSON(names)
		}
		fmt.Println(strings.Join(names, "\n"))
		return nil
	}
	a := map[string]string{"name": name, "lines": strconv.Itoa(lines)}
	if follow {
		a["follow"] = "yes"
	}
	return stream(control.Request{Verb: "logs", Args: a}, asJSON, splitLog)
}

func logWords(words []string) (name string, follow bool, lines int, err error) {
	lines = defaultLines
	for i := 0; i < len(words); i++ {
		w := words[i]
		number, isNumber := strings.CutPrefix(w, "lines=")
		switch {
		case w == "-f" || w == "--follow" || w == "follow=yes":
			follow = true
			continue
		case w == "-n" && i+1 < len(words):
			i++
			number, isNumber = words[i], true
		case strings.HasPrefix(w, "-n") && len(w) > 2:
			number, isNumber = w[2:], true
		}
		switch {
		case isNumber:
			if lines, err = strconv.Atoi(number); err != nil || lines < 0 {
				return "", false, 0, fault.New(fault.Usage, "say -n 50, or -n 0 for all there is", "%q is no number of lines", number)
			}
		case name == "" && !strings.HasPrefix(w, "-"):
			name = w
		default:
			return "", false, 0, fault.New(fault.Usage, "say shelf logs NAME [-f] [-n LINES]", "logs takes no %q", w)
		}
	}
	return name, follow, lines, nil
}

// stream copies what PID 1 sends to standard output, as it is or each line as a JSON object, until it ends or somebody
// says stop, which is no error.
func stream(r control.Request, asJSON bool, split func(string) any) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !asJSON {
		// Not the file itself: io.Copy would let the kernel move the bytes, and a pipe that nobody reads any more would be an error
		// instead of the signal that ends a command quietly.
		return control.Stream(ctx, control.Socket, r, struct{ io.Writer }{os.Stdout})
	}
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		e := json.NewEncoder(os.Stdout)
		e.SetEscapeHTML(false)
		s := bufio.NewScanner(in)
		s.Buffer(nil, 1<<20)
		var err error
		for s.Scan() && err == nil {
			err = e.Encode(split(s.Text()))
		}
		in.CloseWithError(err)
		done <- err
	}()
	err := control.Stream(ctx, control.Socket, r, out)
	out.Close()
	if lerr := <-done; err == nil {
		err = lerr
	}
	return err
}

type logLine struct {
	Time string `json:"time"`
	Text string `json:"text"`
}

func splitLog(line string) any {
	when, text, _ := strings.Cut(line, " ")
	return logLine{when, text}
}

type kernelLine struct {
	Level   int     `json:"level"`
	Seconds float64 `json:"seconds"` // since the kernel started
	Text    string  `json:"text"`
}

// dmesg shows the kernel's messages.
func dmesg(args []string) error {
	asJSON, err := plain("dmesg", args)
	if err != nil {
		return err
	}
	form := regexp.MustCompile(`^<(\d+)>\[\s*([\d.]+)\] ?(.*)$`)
	return stream(control.Request{Verb: "dmesg"}, asJSON, func(line string) any {
		m := form.FindStringSubmatch(line)
		if m == nil {
			return kernelLine{Text: line}
		}
		level, _ := strconv.Atoi(m[1])
		seconds, _ := strconv.ParseFloat(m[2], 64)
		return kernelLine{level & 7, seconds, m[3]}
	})
}
