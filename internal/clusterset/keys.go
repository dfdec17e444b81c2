package clusterset

import (
	"crypto/ecdh"
	"encoding/base64"
)

// KeyFault is why a text cannot be a gateway's public key; empty if it can. A key of low order is
// none: whoever agrees with it on a secret gets zeros, whatever its own key is (RFC 7748, section
// 6.1), so that nobody could tell the gateway from another.
func KeyFault(publicKey string) string {
	key, err := base64.StdEncoding.Strict().DecodeString(publicKey)
	if err != nil || len(key) != 32 {
		return "is not a WireGuard key, 32 bytes in base64"
	}
	// Any private key shows it: all are multiples of the small orders.
	private, errPrivate := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	public, errPublic := ecdh.X25519().NewPublicKey(key)
	if errPrivate == nil && errPublic == nil {
		_, err = private.ECDH(public)
	}
	if errPrivate != nil || errPublic != nil || err != nil {
		return "is a point of low order, with which nobody can agree on a secret"
	}
	return ""
}
