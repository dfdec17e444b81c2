//go:build integration

package kstatus

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// healths are Argo CD's words.
var healths = map[status.Status]string{
	status.CurrentStatus: "Healthy", status.InProgressStatus: "Progressing", status.FailedStatus: "Degraded",
}

// healthScript is the script in docs/gitops.md for that kind.
func healthScript(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```yaml\napiVersion: v1\nkind: ConfigMap\n")
	text, _, _ = strings.Cut(text, "```")
	var config struct {
		Data map[string]string `json:"data"`
	}
	var customizations map[string]map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(config.Data["resource.customizations"]), &customizations); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{o.GroupVersionKind().Group + "/" + o.GetKind(), o.GroupVersionKind().Group + "/*"} {
		if script, ok := customizations[key]["health.lua"].(string); ok {
			return script
		}
	}
	return ""
}

// argoHealth runs the script as Argo CD does, with the object as obj. For a kind without a script it
// returns what kstatus says, in Argo CD's words.
func argoHealth(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	script := healthScript(t, o)
	if script == "" {
		result, err := status.Compute(o)
		if err != nil {
			t.Fatal(err)
		}
		return healths[result.Status]
	}
	state := lua.NewState()
	defer state.Close()
	state.SetGlobal("obj", toLua(t, state, o.Object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	health, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %v", state.Get(-1))
	}
	return health.RawGetString("status").String()
}

// toLua is a value of JSON in Lua.
func toLua(t *testing.T, state *lua.LState, value any) lua.LValue {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for k, v := range value {
			table.RawSetString(k, toLua(t, state, v))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, v := range value {
			table.Append(toLua(t, state, v))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case nil:
		return lua.LNil
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var number float64
	if err := json.Unmarshal(text, &number); err != nil {
		t.Fatal(err)
	}
	return lua.LNumber(number)
}
