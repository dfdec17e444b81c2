// Package liveness finds out which gateways of its own cluster a node can reach: it connects to a TCP
// port that the gateway's kernel refuses, several times a second, over the same device as the traffic.
// A refusal is the answer. It says that the gateway's node, its kernel and the way there work. It needs
// neither the gateway's agent nor the API server.
//
// Judge holds the rules and knows neither clock nor socket. Prober asks in the kernel's name. What
// follows from a verdict is up to the caller.
package liveness
