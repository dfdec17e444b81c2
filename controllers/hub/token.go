package hub

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// token is the hub's token with what it says of itself. Never print it.
type token struct {
	secret   *corev1.Secret // that holds it; only read
	text     string
	issued   time.Time
	expires  time.Time // zero: never, or it does not say
	readable bool      // it is a token of a ServiceAccount, which can say when it ends
	join     boundTo   // it ends with this Secret on the hub
	ended    boundTo   // the Secret of the join token before it, which we have yet to delete
}

// boundTo is a Secret on the hub; zero: none.
type boundTo struct {
	name string
	uid  types.UID
}

func (b boundTo) String() string { return b.name + "/" + string(b.uid) }

// claims are those of a ServiceAccount's token that we need (kubernetes/pkg/serviceaccount/claims.go).
type claims struct {
	Issued     int64 `json:"iat"`
	Expires    int64 `json:"exp"`
	Kubernetes struct {
		Secret struct {
			Name string    `json:"name"`
			UID  types.UID `json:"uid"`
		} `json:"secret"`
	} `json:"kubernetes.io"`
}

// readToken reads the token in the Secret. Whether it is valid is for the hub to say.
func readToken(secret *corev1.Secret) token {
	t := token{secret: secret, text: strings.TrimSpace(string(secret.Data[tokenKey]))}
	name, uid, _ := strings.Cut(secret.Annotations[v1alpha1.AnnotationJoinSecret], "/")
	t.ended = boundTo{name, types.UID(uid)}
	parts := strings.Split(t.text, ".")
	if len(parts) != 3 {
		return t
	}
	var c claims
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &c) != nil {
		return t
	}
	t.readable = true
	t.join = boundTo{c.Kubernetes.Secret.Name, c.Kubernetes.Secret.UID}
	if c.Expires != 0 {
		t.issued, t.expires = time.Unix(c.Issued, 0).UTC(), time.Unix(c.Expires, 0).UTC()
	}
	return t
}

func (t token) key() client.ObjectKey { return client.ObjectKeyFromObject(t.secret) }

// neverEnds tells whether the token is one of those that live as long as their Secret.
func (t token) neverEnds() bool { return t.readable && t.expires.IsZero() }

// expiry is when the token ends, in seconds since 1970: 0 if it does not say, MaxInt64 if never.
func (t token) expiry() int64 {
	switch {
	case t.neverEnds():
		return math.MaxInt64
	case t.expires.IsZero():
		return 0
	}
	return t.expires.Unix()
}

// due tells whether it is time for another token: at once for a join token and for one that never
// ends, else after about two thirds of its life. The share differs from token to token, so that
// members do not come all at once.
func (t token) due(now time.Time) bool {
	if !t.readable {
		return false
	}
	if t.neverEnds() || t.join != (boundTo{}) {
		return true
	}
	sum := sha256.Sum256([]byte(t.text))
	share := 0.62 + 0.08*float64(binary.BigEndian.Uint32(sum[:]))/math.MaxUint32
	life := t.expires.Sub(t.issued)
	return !now.Before(t.issued.Add(time.Duration(share * float64(life))))
}

// endsSoon tells whether less than a sixth of the token's life is left.
func (t token) endsSoon(now time.Time) bool {
	return !t.expires.IsZero() && t.expires.Sub(now) < t.expires.Sub(t.issued)/6
}
