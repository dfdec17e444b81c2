// Command agnhost stands in for the test image of Kubernetes of that name, where nothing can be
// pulled. It does what docs/quickstart.md asks of it and refuses everything else.
//
//	agnhost netexec --http-port=8080   GET /hostname answers with the pod's name
//	agnhost pause                      waits until it is ended
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "agnhost:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	switch {
	case len(args) == 1 && args[0] == "pause":
		<-ended
		return nil
	case len(args) > 0 && args[0] == "netexec":
		failed := make(chan error, 1)
		go func() { failed <- serve(args[1:]) }()
		select {
		case err := <-failed:
			return err
		case <-ended: // at once, as the real one does
			return nil
		}
	}
	return fmt.Errorf("unknown command %q", args)
}

func serve(args []string) error {
	flags := flag.NewFlagSet("netexec", flag.ContinueOnError)
	port := flags.Int("http-port", 8080, "TCP port of the HTTP server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("asking for the host's name: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })
	return http.ListenAndServe(fmt.Sprintf(":%d", *port), mux)
}
