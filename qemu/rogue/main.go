// Command rogue is a service that misbehaves: rogue KIND [N]. The soak test runs many of it on one node.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// kinds are the ways to misbehave, and two to behave.
var kinds = map[string]func(n int){
	"crash":   crash,   // ends after n ms with a status of its own
	"broken":  broken,  // dies of a signal after n ms
	"daemon":  daemon,  // leaves n children in sessions of their own and ends
	"bomb":    bomb,    // forks until it may not
	"deaf":    deaf,    // ignores what asks it to end, with n children that do as well
	"frozen":  frozen,  // stops itself
	"flood":   flood,   // prints lines of n bytes as fast as it can
	"endless": endless, // prints one line for ever
	"eat":     eat,     // takes memory until it is killed
	"leak":    leak,    // opens files until it may not
	"zombies": zombies, // never waits for n children
	"orphans": orphans, // leaves n grandchildren a second to others
	"mute":    mute,    // never says that it is ready
	"chatter": chatter, // says how it is, all the time
	"spin":    spin,    // uses the processor with n threads
	"idle":    idle,    // does nothing, and ends when asked to
	"answer":  answer,  // accepts connections on port n of the loopback
	"child":   func(int) { deaf(0) },
	"brief":   func(int) {},
	"parent":  func(int) { _, _ = start("brief") },
}

func main() {
	n := 0
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	if len(os.Args) < 2 || kinds[os.Args[1]] == nil {
		fmt.Println("usage: rogue KIND [N]")
		os.Exit(2)
	}
	kinds[os.Args[1]](n)
}

func pause(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }
func forever()     { time.Sleep(1 << 62) }
func crash(ms int) { pause(ms); fmt.Println("giving up"); os.Exit(3) }
func broken(ms int) {
	pause(ms)
	signal.Reset()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	forever()
}

// start starts this program again in a session of its own.
func start(args ...string) (*os.Process, error) {
	return os.StartProcess("/proc/self/exe", append([]string{"rogue"}, args...),
		&os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}, Sys: &syscall.SysProcAttr{Setsid: true}})
}

func daemon(n int) {
	for range n {
		_, _ = start("child")
	}
	fmt.Println("gone into the background")
}

func bomb(int) {
	made := 0
	for {
		if _, err := start("child"); err != nil {
			fmt.Println("after", made, "children:", err)
			pause(5000)
			continue
		}
		made++
	}
}

func deaf(n int) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	for range n {
		_, _ = start("child")
	}
	forever()
}

func frozen(int) {
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	forever()
}

func flood(n int) {
	line := []byte(strings.Repeat("x", n) + "\n")
	block := []byte(strings.Repeat(string(line), max(1, 4096/len(line))))
	for {
		_, _ = os.Stdout.Write(block)
	}
}

func endless(int) {
	block := []byte(strings.Repeat("\x1b[2J\x00\xff", 1024))
	for {
		_, _ = os.Stdout.Write(block)
	}
}

func eat(int) {
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
		pause(5)
	}
}

func leak(int) {
	pause(1) // the runtime needs files of its own for its first timer, and dies if it finds none
	opened := 0
	for {
		// Not os.Open, whose files the collector would close.
		if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
			fmt.Println("after", opened, "files:", err)
			pause(5000)
			continue
		}
		opened++
	}
}

func zombies(n int) {
	for range n {
		_, _ = start("brief")
	}
	forever()
}

func orphans(n int) {
	for {
		for range n {
			if p, err := start("parent"); err == nil {
				_, _ = p.Wait()
			}
		}
		pause(1000)
	}
}

func notify(text string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = fmt.Fprint(c, text)
	c.Close()
}

func mute(int) {
	notify("STATUS=any moment now")
	idle(0)
}

func chatter(int) {
	notify("READY=1")
	for i := 0; ; i++ {
		notify("STATUS=" + strconv.Itoa(i) + strings.Repeat(" blah", 100))
	}
}

func spin(n int) {
	for range n {
		go func() {
			for {
			}
		}()
	}
	forever()
}

func idle(int) {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

func answer(port int) {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			}
		}
	}()
	idle(0)
}
