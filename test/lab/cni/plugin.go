// Package cni is the lab's own CNI plugin. It connects a pod in the two ways that the plugins among
// the test binaries do not know: as a port of a bridge, as flannel does, and by a host route and
// proxy ARP, as Calico does. Addresses come from the IPAM plugin that its configuration names, one of
// each IP family that the pod has.
//
// It is the program lab under the name that containerd calls it by. Routes to other nodes' pods,
// and what is masqueraded, are the node's business (package node).
package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netns"
)

// Name is the plugin's type in configurations, and the name of its program.
const Name = "lab-pod"

// Config is the part of a network's configuration that is for the plugin.
type Config struct {
	// Version and Network are set by who calls the plugin.
	Version string `json:"cniVersion,omitempty"`
	Network string `json:"name,omitempty"`
	// Type is Name.
	Type string `json:"type"` // required
	// Bridge is the device that pods are ports of, which has the gateway's address. Without one
	// each pod has an address of its own network only, and its node answers for the gateway.
	Bridge string `json:"bridge,omitempty"` // optional
	// MTU of the pod's device, in bytes.
	MTU int `json:"mtu,omitempty"` // optional, default the kernel's
	// IPAM is the configuration of the plugin that gives addresses.
	IPAM map[string]any `json:"ipam"` // required
}

// Called tells whether this process was started as the plugin.
func Called() bool {
	return os.Getenv("CNI_COMMAND") != "" && filepath.Base(os.Args[0]) == Name
}

// Main does what the environment and the standard input ask for, as the CNI specification has it
// (https://github.com/containernetworking/cni/blob/main/SPEC.md, version 1.0.0), and returns the
// exit code.
func Main() int {
	if err := run(os.Stdin, os.Stdout); err != nil {
		// The caller reads errors there.
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"cniVersion": version, "code": 100, "msg": err.Error()})
		return 1
	}
	return 0
}

// version is that of the specification.
const version = "1.0.0"

func run(stdin io.Reader, stdout io.Writer) error {
	command := os.Getenv("CNI_COMMAND")
	if command == "VERSION" {
		return json.NewEncoder(stdout).Encode(map[string]any{"cniVersion": version, "supportedVersions": []string{version}})
	}
	text, err := io.ReadAll(stdin)
	if err != nil {
		return fmt.Errorf("reading the network's configuration: %w", err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("parsing the network's configuration: %w", err)
	}
	switch command {
	case "ADD":
		result, err := add(c, text)
		if err != nil {
			return err
		}
		return json.NewEncoder(stdout).Encode(result)
	case "DEL":
		return remove(c, text)
	default:
		return fmt.Errorf("CNI_COMMAND %q: want one of ADD, DEL, VERSION", command)
	}
}

// result is what the plugin and its IPAM plugin answer to ADD.
type result struct {
	Version    string         `json:"cniVersion"`
	Interfaces []device       `json:"interfaces,omitempty"`
	IPs        []address      `json:"ips"`
	Routes     []any          `json:"routes,omitempty"`
	DNS        map[string]any `json:"dns,omitempty"`
}

type device struct {
	Name    string `json:"name"`
	Sandbox string `json:"sandbox,omitempty"`
}

type address struct {
	// Interface is a position in result.Interfaces.
	Interface *int         `json:"interface,omitempty"`
	Address   netip.Prefix `json:"address"`
	Gateway   netip.Addr   `json:"gateway"`
}

// add connects the pod.
func add(c Config, text []byte) (_ *result, err error) {
	out, err := ipam(c, text)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = release(c, text) // the first error says more
		}
	}()
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return nil, fmt.Errorf("parsing the answer of the IPAM plugin: %w", err)
	}
	w := wire{host: hostName(c.Bridge, os.Getenv("CNI_CONTAINERID")), pod: os.Getenv("CNI_IFNAME"), mtu: c.MTU}
	for i := range r.IPs {
		w.ends = append(w.ends, end{r.IPs[i].Address, r.IPs[i].Gateway})
		r.IPs[i].Interface = new(1)
	}
	if len(w.ends) == 0 {
		return nil, errors.New("the IPAM plugin gave no address")
	}
	if err := w.connect(os.Getenv("CNI_NETNS"), c.Bridge); err != nil {
		return nil, err
	}
	r.Version = version
	r.Interfaces = []device{{Name: w.host}, {Name: w.pod, Sandbox: os.Getenv("CNI_NETNS")}}
	return &r, nil
}

// remove disconnects the pod. What is gone already is not an error.
func remove(c Config, text []byte) error {
	if err := release(c, text); err != nil {
		return err
	}
	ns, err := netns.GetFromPath(os.Getenv("CNI_NETNS"))
	if errors.Is(err, os.ErrNotExist) || os.Getenv("CNI_NETNS") == "" {
		return nil // its devices went with it
	}
	if err != nil {
		return fmt.Errorf("opening the pod's namespace: %w", err)
	}
	defer ns.Close() // nothing was written
	return disconnect(ns, os.Getenv("CNI_IFNAME"))
}

// ipam runs the IPAM plugin with this process's own command and configuration.
func ipam(c Config, text []byte) ([]byte, error) {
	kind, _ := c.IPAM["type"].(string)
	for _, dir := range filepath.SplitList(os.Getenv("CNI_PATH")) {
		path := filepath.Join(dir, kind)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.Command(path)
		cmd.Stdin = bytes.NewReader(text)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("running the IPAM plugin %s: %w: %s", kind, err, bytes.TrimSpace(out))
		}
		return out, nil
	}
	return nil, fmt.Errorf("the IPAM plugin %q is not in %s", kind, os.Getenv("CNI_PATH"))
}

// release gives back the pod's address. It may run after a failed ADD.
func release(c Config, text []byte) error {
	if err := os.Setenv("CNI_COMMAND", "DEL"); err != nil {
		return err
	}
	_, err := ipam(c, text)
	return err
}

// hostName is the name of the pod's device on its node: of at most 15 bytes, as the kernel asks.
func hostName(bridge, container string) string {
	prefix := "cali"
	if bridge != "" {
		prefix = "veth"
	}
	return prefix + strings.ToLower(container[:min(11, len(container))])
}
