package pages

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// What a guard asks of the API server. Anybody who reaches a process may send it tokens, and each
// that is not known yet is asked about: the rate bounds what that costs the API server.
const (
	reviewRate, reviewBurst = 5, 10
	reviewTimeout           = 5 * time.Second
	// grantedFor is how long a token that was granted is not asked about again.
	grantedFor = time.Minute
	// grantedWithout is the same while the API server does not answer: then metrics are wanted most.
	grantedWithout = time.Hour
)

// certificateFor is how long the certificate is valid: longer than a process runs.
const certificateFor = 10 * 365 * 24 * time.Hour

// Guard decides who else than this host may see metrics. It serves them with TLS, and asks the API
// server whether the bearer of the request's token may get the page: first with a TokenReview, then
// with a SubjectAccessReview. The certificate is its own and signed by nobody, so TLS keeps others
// from reading along, and does not prove who answers. It is safe for concurrent use.
type Guard struct {
	tokens authenticationclient.TokenReviewInterface
	access authorizationclient.SubjectAccessReviewInterface
	tls    *tls.Config
	log    logr.Logger
	now    func() time.Time

	mu      sync.Mutex
	granted map[grant]time.Time // guarded by mu; when the API server last said yes
	told    time.Time           // guarded by mu; when it was last logged that the API server does not say
}

// grant is a token, hashed, and a path.
type grant struct {
	token [sha256.Size]byte
	path  string
}

func grantOf(token, path string) grant { return grant{sha256.Sum256([]byte(token)), path} }

// NewGuard returns a guard that asks that API server. It does no I/O. The process needs the rights of
// the ClusterRole system:auth-delegator; without them, and while the API server does not answer, the
// log says why.
func NewGuard(api *rest.Config, log logr.Logger) (*Guard, error) {
	config := rest.CopyConfig(api)
	config.QPS, config.Burst, config.Timeout, config.RateLimiter = reviewRate, reviewBurst, reviewTimeout, nil
	tokens, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for TokenReviews: %w", err)
	}
	access, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for SubjectAccessReviews: %w", err)
	}
	certificate, err := selfSigned(time.Now())
	if err != nil {
		return nil, fmt.Errorf("making a certificate for metrics: %w", err)
	}
	return &Guard{
		tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(), log: log, now: time.Now, granted: map[grant]time.Time{},
		tls: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}, nil
}

func selfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "tombolo"}, DNSNames: []string{"tombolo"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateFor), // clocks differ
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// protect answers a request that came by TLS only if its bearer may get the page. The others came
// from this host.
func (g *Guard) protect(page http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			if status, why := g.review(r.Context(), r.Header.Get("Authorization"), r.URL.Path); status != http.StatusOK {
				http.Error(w, why, status)
				return
			}
		}
		page.ServeHTTP(w, r)
	})
}

// review returns http.StatusOK if the authorization holds the token of somebody who may get the path;
// else the status to answer with, and why.
func (g *Guard) review(ctx context.Context, authorization, path string) (status int, why string) {
	token, found := strings.CutPrefix(authorization, "Bearer ")
	if !found || token == "" {
		return http.StatusUnauthorized, "send the token of a ServiceAccount: Authorization: Bearer ..."
	}
	key := grantOf(token, path)
	age := g.age(key)
	if age < grantedFor {
		return http.StatusOK, ""
	}
	status, why, err := g.ask(ctx, token, path)
	switch {
	case err != nil && age < grantedWithout:
		return http.StatusOK, ""
	case err != nil:
		g.tell(err)
		return http.StatusServiceUnavailable, "the API server does not say whose token this is: the log of this process has the reason"
	}
	g.note(key, status == http.StatusOK)
	return status, why
}

// ask asks the API server. An error means that it did not say.
func (g *Guard) ask(ctx context.Context, token, path string) (status int, why string, err error) {
	ctx, stop := context.WithTimeout(ctx, reviewTimeout)
	defer stop()
	who, err := g.tokens.Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, "", err
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, "the API server does not know the token", nil
	}
	user := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, Groups: user.Groups, UID: user.UID, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: path},
		}}, metav1.CreateOptions{})
	if err != nil {
		return 0, "", err
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, fmt.Sprintf("%s may not get the nonResourceURL %s: give it a ClusterRole with that right", user.Username, path), nil
	}
	return http.StatusOK, "", nil
}

// age is how long ago the API server last said yes.
func (g *Guard) age(key grant) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now().Sub(g.granted[key]) // huge if it never did
}

// note remembers what the API server said: only a yes, so strangers' tokens fill no memory.
func (g *Guard) note(key grant, yes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	maps.DeleteFunc(g.granted, func(_ grant, at time.Time) bool { return now.Sub(at) >= grantedWithout })
	delete(g.granted, key)
	if yes {
		g.granted[key] = now
	}
}

// tell logs, once a minute at most, why the API server does not say whose token it is.
func (g *Guard) tell(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); now.Sub(g.told) >= time.Minute {
		g.told = now
		g.log.Error(err, "cannot review a token for metrics")
	}
}
