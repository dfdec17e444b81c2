# tombolo. `make help` lists the targets; CONTRIBUTING.md says more.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory --no-builtin-rules
.NOTPARALLEL:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
MODULE  := github.com/tombolo-net/tombolo
LDFLAGS := -s -w -X $(MODULE)/cmd/version.Version=$(VERSION)
# For every go command here, as hack/testbin builds: so each package is compiled once for binaries, tests and linters, in whatever
# folder the clone is. The linker drops DWARF anyway, and make lint runs vet.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags=-s -vet=off $(shell go env GOFLAGS)
GOBUILD := go build -ldflags "$(LDFLAGS)"
# More flags for go test, such as TESTFLAGS="-run TestStart -v".
TESTFLAGS ?=
STEP    := hack/step.sh

##@ A newcomer's two

.PHONY: demo
demo: build testbin ## two real clusters, a real tunnel, a real answer: boot, install, show each step
	bin/lab run --install -- bin/demo

.PHONY: demo-gateways
demo-gateways: build testbin ## the demo with two gateways in each cluster, one of which loses power (6 nodes: give it 4 cores)
	bin/lab run --install --nodes 3 --gateways 2 -- bin/demo

.PHONY: kind-up
kind-up: build testbin-kind ## two clusters of kind with tombolo, to try things in (needs Docker); KIND_IMAGE= names the nodes' image
	@go run ./hack/kind $(KINDFLAGS) up

.PHONY: kind-down
kind-down: testbin-kind ## delete the clusters of kind-up and what they left
	@go run ./hack/kind down

.PHONY: test
test: test-unit test-integration test-kernel ## every test: unit, integration, kernel, e2e; without e2e on a machine that is too slow for a lab
	@slow=$${LAB_TOO_SLOW-$$(bin/lab check)}; \
		if [[ -z $$slow ]]; then $(MAKE) test-e2e; else echo "==> SKIPPED make test-e2e: $$slow" >&2; fi

##@ Build

.PHONY: build
build: deps ## bin/tombolo, bin/kubectl-tombolo, bin/lab (and the demo's and benchmark's programs)
	@mkdir -p bin
	@$(STEP) "building bin/" "usually 3 to 6 minutes on a fresh machine, then seconds" $(MAKE) binaries

.PHONY: binaries
binaries:
	@$(GOBUILD) -o bin/ ./cmd/tombolo ./cmd/kubectl-tombolo
	@$(GOBUILD) -o bin/lab ./test/lab/cmd
	@$(GOBUILD) -o bin/demo ./test/demo/cmd
	@$(GOBUILD) -o bin/bench ./test/bench
	@$(GOBUILD) -o bin/load ./test/lifecycle/load

# Another build of tombolo, for tests of an upgrade.
.PHONY: bin/next
bin/next:
	@mkdir -p $@
	@$(GOBUILD) -o $@/ ./cmd/tombolo

# The version from which make test-upgrade upgrades, as a commit: the last one before the first release.
PREVIOUS ?= 98631a8837c0274c9901d48b9b33b7e827e8f0b8

# Its program, and its manifests, which name an image with the tag previous.
.PHONY: bin/previous
bin/previous:
	@git cat-file -e $(PREVIOUS)^{commit} 2>/dev/null || { echo "this clone lacks the commit $(PREVIOUS), from which the upgrade is tested: git fetch --unshallow"; exit 1; }
	@src=$$(mktemp -d); trap 'rm -rf "$$src"' EXIT; git archive $(PREVIOUS) | tar --extract --directory "$$src"; \
		rm -rf $@; mkdir -p $@; cp -r "$$src/config" $@/; sed -i 's/newTag: dev/newTag: previous/' $@/config/default/kustomization.yaml; \
		cd "$$src"; go build -ldflags "-s -w -X $(MODULE)/cmd/version.Version=previous" -o $(CURDIR)/$@/ ./cmd/tombolo

.PHONY: deps
deps: ## the Debian packages that the rest needs (installs them as root, else names them)
	@hack/deps.sh

.PHONY: testbin
testbin: deps ## the programs of the lab and the tests: Kubernetes, etcd, containerd, a Linux kernel, ...
	@go run ./hack/testbin/cmd

.PHONY: testbin-kind
testbin-kind: testbin
	@hack/deps.sh kind
	@go run ./hack/testbin/cmd -set kind

.PHONY: generate manifests
generate: ## deepcopy functions, CRDs, roles and docs/reference.md from the Go code
	@hack/generate.sh
manifests: generate ## the same

.PHONY: fmt vet
fmt: ## format the Go code
	@go fmt ./...
vet: ## go vet, the tests included; of kubectl tombolo for macOS and Windows, too
	@go vet -tags integration,kernel,e2e,kind ./...
	@for os in darwin windows; do GOOS=$$os go vet ./cli/... ./cmd/kubectl-tombolo; done

.PHONY: chart
chart: ## dist/chart, the Helm chart, made from config/, and its archive
	@go run ./hack/chart -version "$(VERSION)" -image "$(IMG)"
	@"$$(hack/tool.sh helm4)" package dist/chart --destination dist

##@ Test

.PHONY: test-unit
test-unit: ## the pure parts: no root, no network, under a minute once compiled
	@$(STEP) "unit tests" "usually under a minute, 5 on a fresh machine" go test $(TESTFLAGS) ./...

# What takes longest begins first: at the end it would run alone, on one of two CPUs.
INTEGRATION_FIRST := ./controllers/operator ./test/policy
KERNEL_FIRST := ./dataplane/agent ./test/lifecycle/restarts

.PHONY: test-integration
test-integration: testbin ## controllers, kinds and policies, each against a real kube-apiserver; the page in a Chromium
	@hack/deps.sh web
	@hack/axe.sh >/dev/null
	@hack/tool.sh helm4 >/dev/null
	@hack/tool.sh helm3 >/dev/null
	@hack/tool.sh envoy-translate >/dev/null
	@hack/tool.sh promtool >/dev/null
	@$(STEP) "integration tests" "usually 11 minutes" \
		hack/again.sh go test -tags integration -count=1 -p 2 -timeout 30m $(TESTFLAGS) $(INTEGRATION_FIRST) $$(hack/tagged.sh integration $(INTEGRATION_FIRST))

.PHONY: screenshots
screenshots: build testbin ## the pictures in docs/images, made by the tests of the page, on a lab
	@hack/deps.sh web
	@mkdir -p docs/images
	bin/lab run --install --gateways 2 -- go test -tags integration,e2e -count=1 -run 'TestScreenshots|TestLab' ./test/web -args -screenshots "$(CURDIR)/docs/images"

.PHONY: test-kernel
test-kernel: build testbin ## IPVS, routes, WireGuard, each in a user-mode kernel of its own
	@$(MAKE) bin/next VERSION=$(VERSION)-next
	@$(STEP) "kernel tests" "usually 9 minutes" \
		hack/again.sh go test -tags kernel -count=1 -p 2 -timeout 30m -exec "$(CURDIR)/bin/lab kernel --" $(TESTFLAGS) $(KERNEL_FIRST) $$(hack/tagged.sh kernel $(KERNEL_FIRST))
	@$(STEP) "kernel tests without IPv6" "usually a few seconds" \
		go test -tags kernel -count=1 -timeout 10m -exec "$(CURDIR)/bin/lab kernel --append ipv6.disable=1 --" -run TestWithoutIPv6 ./gateway/agent ./dataplane/agent

# The clusters of test-e2e: CNIs of two kinds that masquerade, or it would prove nothing that sources are kept, and kube-proxies
# beside which the one cluster serves with IPVS, the other one with nftables. (bin/lab run --help)
E2E_LAB := --cni flannel,calico --proxy-mode iptables,nftables
# Their IP families: both, so that one run covers either.
E2E_FAMILY ?= dual
# -short leaves out what takes long and fails seldom; test-long runs it.
E2E = hack/again.sh go test -tags e2e -short -count=1 -p 1 -parallel 8 -v $(TESTFLAGS) $$(hack/tagged.sh e2e ./test/lab ./test/web ./test/lifecycle/failover)

.PHONY: test-e2e
test-e2e: build testbin ## the lab itself; the demo's steps and the MCS API's rules on two clusters
	@hack/tool.sh prometheus >/dev/null
	@$(STEP) "the lab's own tests" "usually 3 minutes" \
		hack/again.sh go test -tags e2e -count=1 $(TESTFLAGS) ./test/lab
	@$(STEP) "e2e tests" "usually 11 minutes" \
		bin/lab run --install $(E2E_LAB) --ip-family $(E2E_FAMILY) -- $(E2E)

# Clusters of other IP families than test-e2e's: IPv6 alone, over an IPv6 network of nodes; IPv6 first, with kindnet and beside
# kube-proxy in mode ipvs; a dual-stack cluster beside one with IPv4 alone and one with IPv6 alone.
.PHONY: test-families
test-families: build testbin ## the end-to-end tests on clusters of other IP families: IPv6 alone, IPv6 first, mixed
	@hack/tool.sh prometheus >/dev/null
	@$(STEP) "e2e tests with IPv6 alone" "usually 7 minutes" \
		bin/lab run --install $(E2E_LAB) --ip-family ipv6 -- $(E2E)
	@$(STEP) "e2e tests with IPv6 first" "usually 7 minutes" \
		bin/lab run --install --cni kindnet,routed --proxy-mode ipvs,iptables --ip-family dual6 -- $(E2E)
	@$(STEP) "e2e tests of clusters with different IP families" "usually 3 minutes" \
		bin/lab run --install --clusters 3 --ip-family dual,ipv6,ipv4 -- \
		go test -tags e2e -count=1 -v $(TESTFLAGS) -run 'TestDemo|TestIPFamilyConflict|TestMixed|TestSources' ./test/e2e ./test/conformance

# The nodes' image of the clusters of kind, such as kindest/node:v1.36.3; "build" builds one.
KIND_IMAGE ?=
KINDFLAGS := $(if $(KIND_IMAGE),-image $(KIND_IMAGE))

.PHONY: e2e-kind
e2e-kind: build testbin-kind ## the demo's steps and the MCS API's rules on two clusters of kind, which it makes and removes (needs Docker)
	@$(STEP) "e2e tests on kind" "usually 5 minutes" go run ./hack/kind $(if $(LAB_TOO_SLOW),-lab-tests) $(KINDFLAGS) e2e

.PHONY: e2e-quickstart
e2e-quickstart: testbin-kind ## the commands of docs/quickstart.md, as they stand, on two clusters of kind, which they make and remove (needs Docker)
	@$(STEP) "the quick start on kind" "usually 3 minutes" go run ./hack/kind $(KINDFLAGS) quickstart

.PHONY: check-kind
check-kind:
	@go run ./hack/kind check

# How often each fault of test-long happens.
REPEATS ?= 20

.PHONY: test-long
test-long: build testbin ## a flood of 70,000 exports, the quick start on kind, tests beside flannel on kind, the tests of all IP families, and everything that can happen to one of two gateways, each 20 times (REPEATS=100), under load
	@hack/deps.sh web
	@hack/axe.sh >/dev/null
	@$(STEP) "flood at full size" "usually 15 minutes" \
		go test -tags integration -count=1 -timeout 2h -v -run TestFloodAtFullSize $(TESTFLAGS) ./controllers/operator -args -full
	@$(STEP) "tests of kubectl tombolo" "usually 9 minutes" \
		bin/lab run --install $(E2E_LAB) --ip-family $(E2E_FAMILY) -- go test -tags e2e -count=1 -p 1 -v $(TESTFLAGS) ./test/explain ./test/web ./test/plugin
	@$(MAKE) e2e-quickstart
	@$(MAKE) e2e-kind KINDFLAGS="$(KINDFLAGS) -cni hack/kind/cni/flannel.sh"
	@$(MAKE) test-families
	@$(MAKE) bin/next VERSION=$(VERSION)-next
	@$(STEP) "failover tests" "usually 3 hours" \
		bin/lab run --install --gateways 2 --nodes 3 -- \
		go test -tags e2e -count=1 -timeout 24h -v $(TESTFLAGS) ./test/lifecycle/failover -args -repeats $(REPEATS)

# Which API servers make test-skew runs: oldest, newest or both.
SKEW ?= oldest newest

.PHONY: test-skew
test-skew: deps ## CRDs, policies and controllers with the API servers of the oldest Kubernetes that is supported and of the newest
	@hack/tool.sh helm4 >/dev/null
	@hack/tool.sh helm3 >/dev/null
	@hack/tool.sh envoy-translate >/dev/null
	@hack/tool.sh promtool >/dev/null
	@for set in $(SKEW); do \
		go run ./hack/testbin/cmd -set $$set && \
		$(STEP) "integration tests with the $$set Kubernetes" "usually 12 minutes" env TOMBOLO_KUBERNETES=$$set \
			go test -tags integration -count=1 -p 2 $(TESTFLAGS) \
			$$(hack/tagged.sh integration ./hack/image ./hack/release ./test/lab/image ./test/lab/kernel ./gateway/wireguard ./test/web) || exit 1; \
	done

.PHONY: test-upgrade
test-upgrade: build testbin bin/previous ## upgrade two clusters from the version before, and go back, under load: whole, then in each mixture of versions
	@$(STEP) "upgrade tests" "usually 11 minutes" \
		bin/lab run --install=bin/previous/config $(E2E_LAB) -- \
		go test -tags e2e -count=1 -timeout 3h -v -run TestUpgrade $(TESTFLAGS) ./test/lifecycle -args -previous $(CURDIR)/bin/previous

# How many clusters the next one has: 2, or 3 with the context north. With three a cluster has one node, which two cores can bear.
CLUSTERS ?= 2

.PHONY: conformance
conformance: build testbin ## the suite of kubernetes-sigs/mcs-api: make conformance SUITE=its-clone CLUSTERS=3
	@test -d "$(SUITE)/conformance" || { echo "SUITE=$(SUITE) holds no conformance: git clone https://github.com/kubernetes-sigs/mcs-api, then make conformance SUITE=mcs-api"; exit 2; }
	go -C "$(SUITE)/conformance" test -c -o conformance.test .
	bin/lab run --install --clusters $(CLUSTERS) --nodes $(if $(filter 2,$(CLUSTERS)),2,1) -- bash -c 'cd "$(SUITE)/conformance" && ./conformance.test -test.timeout 2h \
		-contexts "$$(kubectl config get-contexts --output name | grep -vx hub | paste -sd,)" -ginkgo.v \
		-organization tombolo -project tombolo -version "$(VERSION)" -url https://github.com/tombolo-net/tombolo'

.PHONY: lint
lint: ## golangci-lint, pinned in hack/tools (its first build takes minutes), and actionlint on .github/workflows
	@lint=$$(hack/tool.sh actionlint); "$$lint"
	@lint=$$(hack/tool.sh golangci-lint); \
		$(STEP) "linting" "usually under a minute, 5 on a fresh machine" "$$lint" run ./...

.PHONY: verify
verify: ## that what is generated fits the code
	@hack/generate.sh --check

.PHONY: bench
bench: build testbin ## measure 50 members on one hub, the dataplane beside kube-proxy, the filter on the way in, two clusters, failover; prints a table and writes dist/bench.json
	@$(MAKE) bin/next VERSION=$(VERSION)-next
	@mkdir -p dist
	bin/bench --only exchange,dataplane,wireguard,links
	go test -tags kernel -count=1 -run '^$$' -bench . -benchtime 3x -exec "$(CURDIR)/bin/lab kernel --" ./gateway/ingress
	bin/lab run --install -- bin/bench --keep
	bin/lab run --install --gateways 2 --nodes 3 -- bin/bench --keep --only failover

##@ Install, as in every kubebuilder project

# The image that is built, pushed and installed.
IMG ?= ghcr.io/tombolo-net/tombolo:$(VERSION)
# Whose current context is installed into, such as KUBECTL="kubectl --context east".
KUBECTL ?= kubectl
CONTAINER_TOOL ?= docker
PLATFORMS ?= linux/amd64,linux/arm64
# true lets uninstall and undeploy pass over what is not there.
ignore-not-found ?= false
# More arguments for docker build, such as DOCKER_FLAGS="--build-arg GO_IMAGE=registry/golang:1.26".
DOCKER_FLAGS ?=
DOCKER_ARGS = $(DOCKER_FLAGS) --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD) --tag $(IMG) .

.PHONY: install uninstall
install: ## the CRDs into the cluster of the current context
	@hack/manifests.sh crd $(IMG) | $(KUBECTL) apply -f -
uninstall: ## the CRDs out of it, with every object of their kinds (ignore-not-found=true)
	@hack/manifests.sh crd $(IMG) | $(KUBECTL) delete --ignore-not-found=$(ignore-not-found) -f -

.PHONY: deploy undeploy
deploy: ## a member, with the image IMG=registry/name:tag, into the cluster of the current context
	@hack/manifests.sh default $(IMG) | $(KUBECTL) apply -f -
undeploy: ## a member out of it; docs/install.md says what comes before that
	@hack/manifests.sh default $(IMG) | $(KUBECTL) delete --ignore-not-found=$(ignore-not-found) -f -

.PHONY: build-installer
build-installer: ## dist/install.yaml and dist/hub.yaml, with the image IMG
	@mkdir -p dist
	@hack/manifests.sh default $(IMG) >dist/install.yaml
	@hack/manifests.sh hub $(IMG) >dist/hub.yaml

.PHONY: image
image: ## without Docker: dist/image.tar, an OCI archive of IMG for amd64 and arm64, and dist/image-<architecture>.tar
	@for arch in amd64 arm64; do GOOS=linux GOARCH=$$arch $(GOBUILD) -o bin/image/$$arch/ ./cmd/tombolo; done
	@go run ./hack/image -ref $(IMG) -version $(VERSION) -revision "$$(git rev-parse HEAD)" -binaries bin/image -out dist

.PHONY: docker-build docker-push docker-buildx
docker-build: ## the image IMG, with docker or CONTAINER_TOOL=podman
	$(CONTAINER_TOOL) build $(DOCKER_ARGS)
docker-push: ## push the image IMG
	$(CONTAINER_TOOL) push $(IMG)
docker-buildx: ## build the image IMG for PLATFORMS=linux/amd64,linux/arm64 and push it
	@mkdir -p dist
	@sed 's/^FROM $${GO_IMAGE}/FROM --platform=$$BUILDPLATFORM $${GO_IMAGE}/' Dockerfile >dist/Dockerfile.cross
	$(CONTAINER_TOOL) buildx build --push --platform $(PLATFORMS) --file dist/Dockerfile.cross $(DOCKER_ARGS)

##@ Release

.PHONY: release
release: ## what a release consists of, from the commit that is checked out, in dist/: make release VERSION=v1.2.3
	@sbom=$$(hack/tool.sh cyclonedx-gomod); vuln=$$(hack/tool.sh govulncheck); \
		$(STEP) "making release $(VERSION)" "usually 2 minutes, 10 the first time" \
		go run ./hack/release/cmd -version "$(VERSION)" -sbom "$$sbom" -govulncheck "$$vuln"

.PHONY: vulncheck
vulncheck: ## fail if a program reaches a known vulnerability; GOVULNDB=URL names another database
	@vuln=$$(hack/tool.sh govulncheck); \
		$(STEP) "looking for known vulnerabilities" "usually under a minute" \
		go run ./hack/release/vuln/cmd -govulncheck "$$vuln"

##@ Other

.PHONY: clean
clean: ## remove what was built in the tree (the cache outside it stays)
	rm -rf bin dist

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-22s %s\n", "make " $$1, $$2 }' $(MAKEFILE_LIST)
