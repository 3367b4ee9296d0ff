FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p taskferry -p taskferry-worker --bins

# The front end: one binary.
FROM debian:bookworm-slim AS frontend
RUN useradd --system --uid 10001 taskferry
COPY --from=build /src/target/release/taskferry /usr/local/bin/taskferry
USER taskferry
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/taskferry"]
CMD ["serve"]

# A worker with the example tools; put your own manifest and programs in its place.
FROM python:3.13-slim-bookworm AS worker
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home taskferry
COPY --from=build /src/target/release/taskferry-worker /usr/local/bin/taskferry-worker
COPY examples /opt/taskferry
USER taskferry
# What a command leaves behind when it is killed belongs to the first process of the container, which must bury it.
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/taskferry-worker"]
CMD ["--manifest", "/opt/taskferry/tools.toml"]
