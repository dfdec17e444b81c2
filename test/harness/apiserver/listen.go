package apiserver

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// headerTimeout is how long a client may take for the first lines of a request.
const headerTimeout = time.Minute

// Listen answers on a port of the loopback address, in plain text and whoever asks, until what it
// returns is closed, and writes a kubeconfig that leads there to that file. enter runs a function
// in the network namespace where clients are; nil is the one of this process.
func (s *Server) Listen(enter func(func()), kubeconfig string) (*http.Server, error) {
	if enter == nil {
		enter = func(f func()) { f() }
	}
	var listener net.Listener
	var err error
	enter(func() { listener, err = net.Listen("tcp4", "127.0.0.1:0") })
	if err != nil {
		return nil, fmt.Errorf("listening for clients of the API: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: headerTimeout}
	go func() { _ = server.Serve(listener) }() // until it is closed
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: "http://" + listener.Addr().String()}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test"}
	config.CurrentContext = "test"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		_ = server.Close() // nobody knows it
		return nil, fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return server, nil
}
