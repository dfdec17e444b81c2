package join

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/install"
)

// What member add prints may be piped into join, and so may the token alone.
func TestTokenFromStandardInput(t *testing.T) {
	token, err := install.Invitation{ClusterSetID: "demo", ClusterID: "east", Server: "https://hub:6443", Namespace: "tombolo-hub", Token: "secret"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, in, want string }{
		{"the token", token, ""},
		{"with the end of a line, as Windows has it", token + "\r\n", ""},
		{"the command", "kubectl tombolo join " + token + "\n", ""},
		{"nothing", "", "a join token begins with"},
		{"something else", "kubectl tombolo join\n", "a join token begins with"},
	} {
		var out bytes.Buffer
		c := NewCommand(access.NewFlags(), genericiooptions.IOStreams{In: strings.NewReader(tt.in), Out: &out, ErrOut: &bytes.Buffer{}}, "image")
		c.SetArgs([]string{"-", "--dry-run=client"})
		c.SilenceErrors, c.SilenceUsage = true, true
		err := c.Execute()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if err == nil && !strings.Contains(out.String(), "server: https://hub:6443") {
			t.Errorf("%s: the objects lack the hub", tt.name)
		}
	}
}
