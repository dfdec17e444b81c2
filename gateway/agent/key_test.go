package agent

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func keysSecret(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: v1alpha1.GatewayKeysSecret}, Data: data}
}

func newKey(t *testing.T) wireguard.PrivateKey {
	t.Helper()
	key, err := wireguard.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestEnsureKey(t *testing.T) {
	own, other := newKey(t), newKey(t)
	for _, tc := range []struct {
		name   string
		secret map[string][]byte
		inUse  *wireguard.PrivateKey
		// want is nil for any key.
		want *wireguard.PrivateKey
	}{
		{"there", map[string][]byte{"node": []byte(own.Text() + "\n"), "other": []byte("x")}, nil, &own},
		{"missing", map[string][]byte{"other": []byte("x")}, nil, nil},
		{"missing, one in use", map[string][]byte{"other": []byte("x")}, &other, &other},
		{"there, another in use", map[string][]byte{"node": []byte(own.Text())}, &other, &own},
		{"empty Secret", nil, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithObjects(keysSecret(tc.secret)).Build()
			k := &memoryKernel{}
			if tc.inUse != nil {
				k.tunnels.Devices = []wireguard.Device{{Name: "tombolo0", PrivateKey: *tc.inUse}}
			}
			a := New(Config{Client: c, Secrets: c, Kernel: k.kernel(), NodeName: "node", Namespace: "ns"})
			got, err := a.ensureKey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if tc.want != nil && got != *tc.want {
				t.Error("it is another key")
			}
			after := &corev1.Secret{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: v1alpha1.GatewayKeysSecret}, after); err != nil {
				t.Fatal(err)
			}
			if text := strings.TrimSpace(string(after.Data["node"])); text != got.Text() {
				t.Error("the Secret holds another key")
			}
			delete(after.Data, "node")
			delete(tc.secret, "node")
			if diff := cmp.Diff(len(tc.secret), len(after.Data)); diff != "" {
				t.Errorf("other keys (-want +got):\n%s", diff)
			}
			if again, err := a.ensureKey(t.Context()); err != nil || again != got {
				t.Errorf("the second time it is another key, error %v", err)
			}
		})
	}
}

// What is wrong with the Secret is told with the remedy and without what is in it.
func TestEnsureKeyErrors(t *testing.T) {
	for _, tc := range []struct {
		name    string
		objects []client.Object
		want    string
	}{
		{"no Secret", nil, "apply the manifests again"},
		{"no key", []client.Object{keysSecret(map[string][]byte{"node": []byte("hush")})}, "remove it there"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithObjects(tc.objects...).Build()
			a := New(Config{Client: c, Secrets: c, Kernel: (&memoryKernel{}).kernel(), NodeName: "node", Namespace: "ns"})
			_, err := a.ensureKey(t.Context())
			if !errors.Is(err, errKey) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error is %v", err)
			}
		})
	}
}
