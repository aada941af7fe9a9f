// Command answer is what runs in the tests' container: it fetches a page through the container's network and answers requests
// with it.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	page := "nothing"
	for range 60 {
		resp, err := http.Get(os.Args[1])
		if err == nil {
			data, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
			resp.Body.Close()
			page = string(data)
			break
		}
		fmt.Println(err)
		time.Sleep(time.Second)
	}
	name, _ := os.Hostname()
	err := http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "pid %d on %s fetched %s\n", os.Getpid(), name, page)
	}))
	fmt.Println(err)
	os.Exit(1)
}
