package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
)

// defaultLines is how many lines of a log are shown without -n.
const defaultLines = 100

// logs shows the newest lines of a service's log, and with -f those to come. Without a name it
// lists the logs.
func logs(a *line.Args) error {
	asJSON := a.JSON()
	name, follow, lines, err := logWords(a)
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
		show(strings.Join(names, "\n"))
		return nil
	}
	if s, err := askStatus(); err == nil && !asJSON {
		if why := notReady(s, name); why != "" {
			fmt.Fprintln(os.Stderr, terminal.Line(why)) // not a part of the log
		}
	}
	what := map[string]string{"name": name, "lines": strconv.Itoa(lines)}
	if follow {
		what["follow"] = "yes"
	}
	return stream(control.Request{Verb: "logs", Args: what}, asJSON, splitLog)
}

// notReady is a sentence on a service that does not do its work; "" for one that does, or is not
// known. Its log alone does not show why it was not started.
func notReady(s status.Status, name string) string {
	for _, u := range s.Services {
		if u.Name == name && !u.Ready && u.Detail != "" {
			return u.Name + " is " + u.Phase + ": " + u.Detail
		}
	}
	return ""
}

func logWords(a *line.Args) (name string, follow bool, lines int, err error) {
	if follow, err = a.Bool("follow", false); err != nil {
		return "", false, 0, err
	}
	lines = defaultLines
	if number, given := a.Values["lines"]; given {
		if lines, err = strconv.Atoi(number); err != nil || lines < 0 {
			return "", false, 0, fault.New(fault.Usage, "write -n 50, or -n 0 for all there is", "%q is not a number of lines", number)
		}
	}
	if len(a.Operands) > 1 {
		return "", false, 0, unknown("logs", a.Operands[1])
	}
	if len(a.Operands) == 1 {
		name = a.Operands[0]
	}
	return name, follow, lines, nil
}

// stream copies what PID 1 sends to standard output, as it is or each line as a JSON object, until
// it ends or is stopped, which is not an error.
func stream(r control.Request, asJSON bool, split func(string) any) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if !asJSON {
		out, flush := screen()
		return errors.Join(control.Stream(ctx, control.Socket, r, out), flush())
	}
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		s := bufio.NewScanner(in)
		s.Buffer(nil, 1<<20)
		var err error
		for s.Scan() && err == nil {
			err = writeJSON(os.Stdout, split(s.Text()), "")
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

func splitLog(l string) any {
	when, text, _ := strings.Cut(l, " ")
	return logLine{when, text}
}

type kernelLine struct {
	Level   int     `json:"level"`
	Seconds float64 `json:"seconds"` // since the kernel started
	Text    string  `json:"text"`
}

// dmesg shows the kernel's messages.
func dmesg(asJSON bool) error {
	form := regexp.MustCompile(`^<(\d+)>\[\s*([\d.]+)\] ?(.*)$`)
	return stream(control.Request{Verb: "dmesg"}, asJSON, func(text string) any {
		m := form.FindStringSubmatch(text)
		if m == nil {
			return kernelLine{Text: text}
		}
		level, _ := strconv.Atoi(m[1])
		seconds, _ := strconv.ParseFloat(m[2], 64)
		return kernelLine{level & 7, seconds, m[3]}
	})
}
