# syntax=docker/dockerfile:1
# One static program in an image with nothing else: no shell, no libraries, no root.
FROM rust:1.95-alpine3.23 AS build
# A C compiler, for the libraries of cryptography, SQLite and compression.
RUN apk add --no-cache build-base cmake linux-headers perl
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p qoe && install -s -D target/release/qoe /image/usr/bin/qoe
# Folders that volumes take their owner from, and authorities to trust.
RUN install -d -m 1777 /image/tmp && install -d -m 0777 /image/var/lib/qoe /image/var/spool/qoe \
    && install -D /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/usr/bin/qoe"]
