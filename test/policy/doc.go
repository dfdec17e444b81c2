// Package policy holds the tests of what a real API server refuses: the CEL rules of tombolo's
// kinds, and the roles and admission policies in config/ that keep a member, a gateway and a
// dataplane to their own objects. It owns nothing that ships; the rules themselves are in api/ and
// config/.
package policy
