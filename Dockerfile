# The applier alone: one static binary, the system's certificates, no shell, not root.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY wal wal
COPY converge converge
COPY writer writer
COPY reach reach
COPY applier applier
ARG VERSION=dev
# The flags are those of `make build`, which says why.
RUN CGO_ENABLED=0 go build -trimpath -tags nethttpomithttp2 -gcflags=github.com/twmb/franz-go/pkg/kmsg=-l -ldflags "-s -w -X main.version=${VERSION}" -o /redis-applier ./applier

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /redis-applier /redis-applier
USER 65532:65532
ENTRYPOINT ["/redis-applier"]
CMD ["run"]
