# tombolo: operator, gateway and dataplane in one static binary, with nft for the rules that go through it.
# hack/image takes nft from Debian's packages for the target's architecture, as `make image` does without Docker. With
# `make docker-buildx` the build stage runs on the builder's own architecture; nothing is emulated. Another base for the build, with Go and apt, can be given: --build-arg GO_IMAGE=...
ARG GO_IMAGE=golang:1.26-bookworm@sha256:a688600ca24f8a4d3ca77f95b0dd40704a9fc787c826660eb7ba0b641b8b175d

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Set by BuildKit only. A default here would win over that.
ARG TARGETARCH
ARG VERSION=dev
RUN arch=${TARGETARCH:-$(go env GOARCH)} \
 && CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X github.com/tombolo-net/tombolo/cmd/version.Version=${VERSION}" -o /binaries/$arch/tombolo ./cmd/tombolo \
 && go run ./hack/image -binaries /binaries -arch $arch -rootfs /rootfs

FROM scratch
COPY --from=build /rootfs/ /
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title=tombolo \
      org.opencontainers.image.source=https://github.com/tombolo-net/tombolo \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# The agents need root and NET_ADMIN, which their manifests ask for; the operator runs as this.
USER 65532:65532
ENTRYPOINT ["/tombolo"]
