// Package ingress says what the gateway's filter on the way in admits of what other clusters send: it
// plans the nftables table tombolo-ingress. Package internal/kernel/firewall writes the table.
//
// It admits, for each packet by itself and in both families,
//
//   - what goes to an endpoint that this cluster exports, by address, protocol and port;
//   - answers: what comes from an endpoint that the sending cluster exports, to a pod or a transit
//     address of this cluster, and opens no connection;
//   - ICMP errors about packets of this cluster, and echoes up to a rate;
//   - the probes of other clusters' gateways.
//
// Everything else is dropped and counted, by cluster and reason. Nothing depends on connections that
// a gateway has seen: with several gateways an answer takes another way than its question.
//
// It is pure: the same input gives the same table.
package ingress
