//go:build integration

package policy

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/internal/pages"
)

// Each process that serves metrics securely asks the API server by its own account. Without the
// component's binding that account may not ask, and nobody gets metrics. With it those get them who
// have the right.
func TestSecureMetrics(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(configDir, "secure-metrics", "role_binding.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{}
	if err := yaml.UnmarshalStrict(raw, binding); err != nil {
		t.Fatal(err)
	}
	for i := range binding.Subjects {
		binding.Subjects[i].Namespace = system
	}
	create(t,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "prometheus"}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "stranger"}},
		// As kube-prometheus has it.
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "prometheus"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "prometheus"}}},
	)
	reader, stranger := configOf(t, "default", "prometheus", nil).BearerToken, configOf(t, "default", "stranger", nil).BearerToken
	urls := map[string]string{}
	for _, account := range []string{"tombolo-operator", "tombolo-gateway", "tombolo-dataplane"} {
		urls[account] = serveSecurely(t, account)
		if got := status(t, urls[account], reader); got != http.StatusServiceUnavailable {
			t.Errorf("%s, which may not ask: %d", account, got)
		}
	}
	create(t, binding)
	for account, url := range urls {
		// The API server may learn of the binding a moment later.
		if err := wait.PollUntilContextTimeout(t.Context(), 250*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
			return status(t, url, reader) == http.StatusOK, nil
		}); err != nil {
			t.Errorf("%s: who has the right gets no metrics: %v", account, err)
		}
		for name, tt := range map[string]struct {
			token string
			want  int
		}{
			"no token":       {"", http.StatusUnauthorized},
			"a forged one":   {reader + "x", http.StatusUnauthorized},
			"no right":       {stranger, http.StatusForbidden},
			"with the right": {reader, http.StatusOK},
		} {
			if got := status(t, url, tt.token); got != tt.want {
				t.Errorf("%s, %s: %d, want %d", account, name, got, tt.want)
			}
		}
	}
}

// serveSecurely serves metrics as a process with that account does, and returns their URL.
func serveSecurely(t *testing.T, account string) string {
	t.Helper()
	guard, err := pages.NewGuard(configOf(t, system, account, nil), testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := pages.Listen(t.Context(), "0.0.0.0:0", guard)
	if err != nil {
		t.Fatal(err)
	}
	server := pages.NewServer(pages.Pages{Metrics: prometheus.NewRegistry(), Guard: guard}.Handler())
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	go func() { _ = server.Serve(listener) }()
	return "https://" + listener.Addr().String() + "/metrics"
}

// status is the answer to who asks with that token.
func status(t *testing.T, url, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as a scraper does
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}
