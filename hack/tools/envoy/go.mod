// Pins Envoy Gateway, whose translator hack/tool.sh builds into the program translate. translate.go.in
// is built inside a copy of that module, so nothing here imports it: go mod tidy would remove it.
module github.com/tombolo-net/tombolo/hack/tools/envoy

go 1.26.0

require github.com/envoyproxy/gateway v1.9.1
