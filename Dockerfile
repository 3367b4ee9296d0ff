FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# Linked statically, so that an image needs nothing but them. With a target that is named, what only runs while building is
# built as usual.
RUN host=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --release --locked --target "$host" -p taskferry -p taskferry-worker --bins \
    && mkdir /built && find "target/$host/release" -maxdepth 1 -type f -executable -exec mv {} /built/ ';'

# The front end: one binary, and the authorities by which it knows the issuers of tokens. No shell, nobody else's program; it
# writes nothing to its files.
FROM scratch AS frontend
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /built/taskferry /usr/local/bin/taskferry
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --retries=5 \
    CMD ["/usr/local/bin/taskferry", "healthcheck", "--url", "http://127.0.0.1:8080/readyz"]
ENTRYPOINT ["/usr/local/bin/taskferry"]
CMD ["serve"]

# A worker alone, for tools that are programs without libraries: copy them and a manifest in.
FROM scratch AS bare-worker
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /built/taskferry-worker /usr/local/bin/taskferry-worker
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/taskferry-worker"]
CMD ["--manifest", "/opt/taskferry/tools.toml"]

# A worker with the example tools, which are programs in Python and of a shell; put your own manifest and programs in their place.
FROM python:3.13-slim-bookworm AS worker
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 taskferry
COPY --from=build /built/taskferry-worker /usr/local/bin/taskferry-worker
COPY examples /opt/taskferry
USER 10001:10001
# What loses its supervisor, when the system runs out of memory, say, belongs to the first process of the container, which
# must bury it.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/taskferry-worker"]
CMD ["--manifest", "/opt/taskferry/tools.toml"]
