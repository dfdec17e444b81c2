package hub

import (
	"encoding/base64"
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// secretWith holds a token with these claims, and with that signature, which nobody checks here.
func secretWith(claims, signature string) *corev1.Secret {
	text := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + signature
	return &corev1.Secret{Data: map[string][]byte{"token": []byte(text + "\n")}}
}

func TestDue(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	tests := []struct {
		name   string
		claims string
		want   bool
		expiry int64
	}{
		{"new", `{"iat":999990,"exp":1000990}`, false, 1000990},
		{"before two thirds", `{"iat":999390,"exp":1000390}`, false, 1000390},
		{"after two thirds", `{"iat":999290,"exp":1000290}`, true, 1000290},
		{"ended", `{"iat":1,"exp":2}`, true, 2},
		{"issued later, by our clock", `{"iat":2000000,"exp":3000000}`, false, 3000000},
		{"a join token", `{"iat":999990,"exp":1000990,"kubernetes.io":{"secret":{"name":"east.join","uid":"u"}}}`, true, 1000990},
		{"a token Secret's", `{"iss":"kubernetes/serviceaccount"}`, true, math.MaxInt64},
		{"not JSON", `x`, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := readToken(secretWith(tt.claims, "s"))
			if got.due(now) != tt.want || got.expiry() != tt.expiry {
				t.Errorf("due %v, expiry %d; want %v, %d", got.due(now), got.expiry(), tt.want, tt.expiry)
			}
		})
	}
	if readToken(&corev1.Secret{Data: map[string][]byte{"token": []byte("opaque")}}).due(now) {
		t.Error("a token that is no ServiceAccount's is due")
	}
}

// Members that got their tokens at the same time renew them at different times.
func TestDueIsSpread(t *testing.T) {
	due := 0
	for i := range 100 {
		token := readToken(secretWith(`{"iat":0,"exp":1000}`, string(rune('a'+i%26))+string(rune('a'+i/26))))
		if token.issued.Unix() != 0 || token.due(time.Unix(619, 0)) || !token.due(time.Unix(701, 0)) {
			t.Fatalf("not due between 62 and 70 %% of the life: %+v", token.issued)
		}
		if token.due(time.Unix(660, 0)) {
			due++
		}
	}
	if due < 25 || due > 75 {
		t.Errorf("%d of 100 tokens are due in the middle", due)
	}
}

func TestJoinSecrets(t *testing.T) {
	secret := secretWith(`{"iat":1,"exp":2,"kubernetes.io":{"secret":{"name":"east.join","uid":"u-2"}}}`, "s")
	secret.ObjectMeta = metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationJoinSecret: "east.join/u-1"}}
	got := readToken(secret)
	if want := (boundTo{"east.join", "u-2"}); got.join != want {
		t.Errorf("bound to %v, want %v", got.join, want)
	}
	if want := (boundTo{"east.join", "u-1"}); got.ended != want {
		t.Errorf("to delete: %v, want %v", got.ended, want)
	}
}
