package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Step is one claim about tombolo.
type Step struct {
	// Name is the claim, in words for a reader who sees tombolo for the first time.
	Name string
	// Run makes the claim true and returns the evidence (one or more lines), or says why it is not
	// true.
	Run func(context.Context) (evidence string, err error)
}

// Steps are the demo's steps, in their order: each builds on the ones before it. Those about
// failover are among them if there are two gateways.
func (e *Env) Steps(ctx context.Context) ([]Step, error) {
	several, err := e.hasTwoGateways(ctx)
	if err != nil {
		return nil, err
	}
	steps := e.firstSteps()
	if several {
		steps = append(steps, e.gatewaySteps()...)
	}
	return append(steps, e.lastSteps()...), nil
}

func (e *Env) firstSteps() []Step {
	return []Step{
		{"east: a web server with 3 replicas, a StatefulSet with 2; west: a client pod on a worker node", e.deploy},
		{"tombolo has made CoreDNS serve clusterset.local in both clusters", e.dnsReady},
		{"east: the ServiceExports are Valid and Ready", e.export},
		{"west: a ServiceImport with a clusterset IP", e.imported},
		{"west: " + webName + " resolves to it in a pod", e.resolves},
		{"west: HTTP through the name reaches all 3 replicas from a worker node", e.reachesAll},
		{"the server sees the client pod's own IP", e.keepsSource},
		{"the nodes' own network reaches it, too, and the server sees each node's transit address", e.hostClients},
		{"the worker's kernel holds the clusterset IP (ipvsadm -Ln, or nft where nftables serves)", e.inKernel},
		{"the request went through WireGuard: its counters moved (wg show)", e.inWireGuard},
		{"between the clusters' nodes there is WireGuard and not one byte of the request in clear (tcpdump)", e.encrypted},
	}
}

func (e *Env) lastSteps() []Step {
	return []Step{
		{"a replica that is removed is gone from the answers", e.scalesDown},
		{"headless: " + dbName + " resolves to pod IPs, db-0.east.db... to one", e.headless},
		{"unexport removes the name and the clusterset IP", e.unexport},
	}
}

func (e *Env) deploy(ctx context.Context) (string, error) {
	workers, err := e.Nodes(ctx, e.client, "!clusterset.tombolo.dev/gateway")
	if err != nil {
		return "", err
	}
	e.clientNode = workers[0]
	for cluster, manifest := range map[string]string{e.server: serverManifest(), e.client: clientManifest(e.clientNode)} {
		if err := e.Apply(ctx, cluster, namespaceManifest+manifest); err != nil {
			return "", err
		}
	}
	waits := [][]string{
		{e.server, "rollout", "status", "deployment/web"},
		{e.server, "rollout", "status", "statefulset/db"},
		{e.client, "wait", "--for=condition=Ready", "pod/" + clientPod},
	}
	for _, w := range waits {
		if _, err := e.Kubectl(ctx, w[0], append([]string{"--namespace", namespace, "--timeout=120s"}, w[1:]...)...); err != nil {
			return "", err
		}
	}
	pods, err := e.inNamespace(ctx, e.server, "get", "pods", "--output", "wide", "--no-headers")
	return columns(pods, 0, 2, 5, 6) + "\n" + clientPod + " on " + e.clientNode, err
}

func (e *Env) export(ctx context.Context) (string, error) {
	for _, service := range []string{"web", "db"} {
		if err := e.Apply(ctx, e.server, exportManifest(service)); err != nil {
			return "", err
		}
	}
	return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		var lines []string
		for _, service := range []string{"web", "db"} {
			out, err := e.get(ctx, e.server, "serviceexport/"+service, `{range .status.conditions[*]}{.type}={.status}({.reason}) {end}`)
			if err != nil {
				return "", err
			}
			if !strings.Contains(out, "Valid=True") || !strings.Contains(out, "Ready=True") {
				return "", fmt.Errorf("serviceexport %s: %s", service, out)
			}
			lines = append(lines, service+": "+out)
		}
		return strings.Join(lines, "\n"), nil
	})
}

func (e *Env) imported(ctx context.Context) (string, error) {
	return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		ips, err := e.get(ctx, e.client, "serviceimport/web", "{.spec.ips[*]}")
		if err != nil {
			return "", err
		}
		vips, err := addresses(ips)
		if err != nil || len(vips) == 0 {
			return "", fmt.Errorf("serviceimport web has no clusterset IP yet: %q (%v)", ips, err)
		}
		e.vips = vips
		out, err := e.inNamespace(ctx, e.client, "get", "serviceimports")
		return strings.TrimSpace(out), err
	})
}

func (e *Env) resolves(ctx context.Context) (string, error) {
	return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		answers, err := e.dig(ctx, webName)
		if err != nil {
			return "", err
		}
		if want := texts(e.vips); !slices.Equal(answers, want) {
			return "", fmt.Errorf("dig %s: %q, want %q", webName, answers, want)
		}
		return webName + " -> " + strings.Join(answers, " "), nil
	})
}

func (e *Env) reachesAll(ctx context.Context) (string, error) {
	pods, err := e.readyPods(ctx)
	if err != nil {
		return "", err
	}
	return e.eachVIP(func(vip netip.Addr) (string, error) {
		return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
			seen, err := e.requests(ctx, 12, "/", curlFamily(vip))
			if err != nil {
				return "", err
			}
			if got := sortedKeys(seen); !slices.Equal(got, pods) {
				return "", fmt.Errorf("answers of %s came from %q, want all of %q", vip, got, pods)
			}
			return fmt.Sprintf("12 requests to %s from %s on %s: %v", vip, clientPod, e.clientNode, seen), nil
		})
	})
}

// eachVIP makes the claim for each clusterset IP, one of each IP family.
func (e *Env) eachVIP(claim func(vip netip.Addr) (string, error)) (string, error) {
	var evidence []string
	for _, vip := range e.vips {
		line, err := claim(vip)
		if err != nil {
			return "", err
		}
		evidence = append(evidence, line)
	}
	return strings.Join(evidence, "\n"), nil
}

func (e *Env) keepsSource(ctx context.Context) (string, error) {
	ips, err := e.podIPs(ctx, e.client, clientPod)
	if err != nil {
		return "", err
	}
	return e.eachVIP(func(vip netip.Addr) (string, error) {
		own, err := ofFamily(ips, vip)
		if err != nil {
			return "", err
		}
		answer, err := e.request(ctx, curlFamily(vip))
		if err != nil {
			return "", err
		}
		if answer.client.Addr() != own {
			return "", fmt.Errorf("the server saw %s, the client pod has %s", answer.client, own)
		}
		return fmt.Sprintf("pod %s saw %s; the client pod's IP is %s", answer.pod, answer.client, own), nil
	})
}

func (e *Env) inKernel(ctx context.Context) (string, error) {
	return e.eachVIP(func(vip netip.Addr) (string, error) {
		service, endpoints, err := e.kernel(ctx, vip)
		if err != nil {
			return "", err
		}
		if endpoints != 3 {
			return "", fmt.Errorf("%s port 80 has %d endpoints in the kernel of %s, want 3:\n%s", vip, endpoints, e.clientNode, service)
		}
		return service, nil
	})
}

// kernel is what serves a clusterset IP on the client's node, and with how many endpoints: IPVS
// or nftables, as the node's kube-proxy allows. It is empty if nothing does.
func (e *Env) kernel(ctx context.Context, vip netip.Addr) (service string, endpoints int, err error) {
	tables, err := e.OnNode(ctx, e.clientNode, "nft", "list", "tables")
	if err != nil {
		return "", 0, err
	}
	if !strings.Contains(tables, "tombolo-services") {
		// Without the file the kernel has no IPVS, and ipvsadm fails.
		out, err := e.OnNode(ctx, e.clientNode, "sh", "-c", "[ ! -e /proc/net/ip_vs ] || ipvsadm -Ln")
		service := virtualService(out, netip.AddrPortFrom(vip, 80).String())
		return service, strings.Count(service, "->"), err
	}
	table := "slots6"
	if vip.Is4() {
		table = "slots4"
	}
	out, err := e.OnNode(ctx, e.clientNode, "nft", "--numeric", "list", "map", "inet", "tombolo-services", table)
	if err != nil {
		return "", 0, err
	}
	service, endpoints = slots(out, vip.String())
	return service, endpoints, nil
}

func (e *Env) scalesDown(ctx context.Context) (string, error) {
	if _, err := e.inNamespace(ctx, e.server, "scale", "deployment/web", "--replicas=2"); err != nil {
		return "", err
	}
	return shell.Eventually(ctx, 30*time.Second, func(ctx context.Context) (string, error) {
		pods, err := e.readyPods(ctx)
		if err != nil {
			return "", err
		}
		seen, err := e.requests(ctx, 12, "/")
		if err != nil {
			return "", err
		}
		if got := sortedKeys(seen); len(pods) != 2 || !slices.Equal(got, pods) {
			return "", fmt.Errorf("answers came from %q, ready pods are %q, want the same two", got, pods)
		}
		return fmt.Sprintf("12 requests: %v", seen), nil
	})
}

func (e *Env) headless(ctx context.Context) (string, error) {
	return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		var ips []netip.Addr // of both pods, db-0 first
		for _, pod := range []string{"db-0", "db-1"} {
			own, err := e.allPodIPs(ctx, e.server, pod) // DNS tells all, whatever the client has
			if err != nil {
				return "", err
			}
			ips = append(ips, own...)
		}
		all, err := e.dig(ctx, dbName)
		if err != nil {
			return "", err
		}
		one := "db-0." + e.server + "." + dbName
		first, err := e.dig(ctx, one)
		if err != nil {
			return "", err
		}
		want, wantFirst := texts(ips), texts(ips[:len(ips)/2])
		if !slices.Equal(all, want) || !slices.Equal(first, wantFirst) {
			return "", fmt.Errorf("%s: %q, want %q; %s: %q, want %q", dbName, all, want, one, first, wantFirst)
		}
		return fmt.Sprintf("%s -> %s\n%s -> %s", dbName, strings.Join(all, " "), one, strings.Join(first, " ")), nil
	})
}

func (e *Env) unexport(ctx context.Context) (string, error) {
	if _, err := e.inNamespace(ctx, e.server, "delete", "serviceexport/web"); err != nil {
		return "", err
	}
	return shell.Eventually(ctx, 30*time.Second, func(ctx context.Context) (string, error) {
		imports, err := e.inNamespace(ctx, e.client, "get", "serviceimports", "--output", "name")
		if err != nil {
			return "", err
		}
		if strings.Contains(imports, "/web") {
			return "", fmt.Errorf("west still has %s", imports)
		}
		service, err := e.eachVIP(func(vip netip.Addr) (string, error) {
			service, _, err := e.kernel(ctx, vip)
			return service, err
		})
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(service) != "" {
			return "", fmt.Errorf("%s still holds the clusterset IP:\n%s", e.clientNode, service)
		}
		answer, err := e.inClient(ctx, "dig", "+tries=2", "+time=2", webName)
		if err != nil {
			return "", err
		}
		if !strings.Contains(answer, "status: NXDOMAIN") {
			return "", fmt.Errorf("dig %s: want NXDOMAIN: %s", webName, answer)
		}
		return webName + ": NXDOMAIN; no ServiceImport web; " + strings.Join(texts(e.vips), " ") + " is not in the kernel of " + e.clientNode, nil
	})
}

// answer is what the server says of a request: its pod's name, and the client's address and port as
// it saw them.
type answer struct {
	pod    string
	client netip.AddrPort
}

// patience is how many seconds one request may take, on a busy machine too.
const patience = "20"

// request asks the exported Service once through its name, from the client pod, with more flags of
// curl's.
func (e *Env) request(ctx context.Context, flags ...string) (answer, error) {
	curl := append([]string{"curl", "--silent", "--show-error", "--fail", "--max-time", patience}, flags...)
	out, err := e.inClient(ctx, append(curl, "http://"+webName+"/")...)
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(out)
}

// requests asks n times for the path, each over a connection of its own, with more flags of curl's,
// and counts the answers by pod.
func (e *Env) requests(ctx context.Context, n int, path string, flags ...string) (map[string]int, error) {
	curl := []string{"curl", "--silent", "--show-error", "--fail", "--fail-early", "--max-time", patience, "--header", "Connection: close"}
	curl = append(curl, flags...)
	out, err := e.inClient(ctx, append(curl, slices.Repeat([]string{"http://" + webName + path}, n)...)...)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		a, err := parseAnswer(line)
		if err != nil {
			return nil, err
		}
		seen[a.pod]++
	}
	return seen, nil
}

// parseAnswer reads "pod address:port path".
func parseAnswer(line string) (answer, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return answer{}, fmt.Errorf("the server answered %q, want its name, the client's address and the path", line)
	}
	client, err := netip.ParseAddrPort(fields[1])
	if err != nil {
		return answer{}, fmt.Errorf("parsing the client address that the server saw: %w", err)
	}
	return answer{pod: fields[0], client: netip.AddrPortFrom(client.Addr().Unmap(), client.Port())}, nil
}

// readyPods are the names of the web server's pods that are Ready and not about to end, sorted.
func (e *Env) readyPods(ctx context.Context) ([]string, error) {
	out, err := e.inNamespace(ctx, e.server, "get", "endpointslices", "--selector", "kubernetes.io/service-name=web",
		"--output", `jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}`)
	return slices.Compact(sorted(strings.Fields(out))), err // there is a slice for each IP family
}

// dig returns the A and AAAA records of a name as the client pod gets them, sorted. It returns an empty list
// for a name without any.
func (e *Env) dig(ctx context.Context, name string) ([]string, error) {
	out, err := e.inClient(ctx, "dig", "+short", "+tries=2", "+time=2", name, "A", name, "AAAA")
	return sorted(strings.Fields(out)), err
}
