//go:build integration

package gatewayapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// translation is what Envoy Gateway makes of HTTPRoutes, by the routes' names.
type translation struct {
	endpoints map[string]endpoints // for Envoy
	reasons   map[string]string    // of the condition ResolvedRefs
}

// translate runs Envoy Gateway's translator.
func translate(t *testing.T, in map[string]any) translation {
	t.Helper()
	tool, err := exec.CommandContext(t.Context(), "../../hack/tool.sh", "envoy-translate").Output()
	if err != nil {
		t.Fatalf("building the translator: %v", err)
	}
	objects, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), strings.TrimSpace(string(tool)))
	var stdout, stderr bytes.Buffer
	run.Stdin, run.Stdout, run.Stderr = bytes.NewReader(objects), &stdout, &stderr
	if err := run.Run(); err != nil {
		t.Fatalf("translating: %v\n%s", err, stderr.String())
	}
	var out output
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatalf("reading %.500s: %v", stdout.String(), err)
	}
	return out.read()
}

// output is what the translator prints, as far as it matters.
type output struct {
	HTTPRoutes []struct {
		Metadata struct{ Name string }
		Status   struct {
			Parents []struct {
				Conditions []struct{ Type, Reason string }
			}
		}
	}
	XdsIR map[string]struct {
		HTTP []struct {
			Routes []struct {
				Name        string
				Destination struct {
					Settings []struct {
						Endpoints []struct {
							Host     string
							Port     int
							Draining bool
						}
					}
				}
			}
		}
	}
}

func (o output) read() translation {
	found := translation{endpoints: map[string]endpoints{}, reasons: map[string]string{}}
	for _, route := range o.HTTPRoutes {
		for _, parent := range route.Status.Parents {
			for _, c := range parent.Conditions {
				if c.Type == "ResolvedRefs" {
					found.reasons[route.Metadata.Name] = c.Reason
				}
			}
		}
	}
	for _, gateway := range o.XdsIR {
		for _, listener := range gateway.HTTP {
			for _, route := range listener.Routes {
				name := strings.Split(route.Name, "/")[2] // httproute/<namespace>/<name>/...
				var all endpoints
				for _, setting := range route.Destination.Settings {
					for _, e := range setting.Endpoints {
						text := fmt.Sprintf("%s:%d", e.Host, e.Port)
						if e.Draining {
							text += " draining"
						}
						all = append(all, text)
					}
				}
				found.endpoints[name] = all.sorted()
			}
		}
	}
	return found
}
