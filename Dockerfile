# tombolo: operator, gateway and dataplane in one static binary, with nft for the rules that go through it.
# The lab makes the same image without Docker: test/lab/image.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/tombolo-net/tombolo/cmd/version.Version=${VERSION}" -o /tombolo ./cmd/tombolo

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /tombolo /tombolo
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title=tombolo \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
# The agents need root and NET_ADMIN, which their manifests ask for; the operator runs as this.
USER 65532:65532
ENTRYPOINT ["/tombolo"]
