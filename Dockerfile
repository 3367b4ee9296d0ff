FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin taskferry --bin taskferry-worker

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
RUN useradd --system --uid 10001 --create-home taskferry
COPY --from=build /src/target/release/taskferry-worker /usr/local/bin/taskferry-worker
COPY examples /opt/taskferry
USER taskferry
ENTRYPOINT ["/usr/local/bin/taskferry-worker"]
CMD ["--manifest", "/opt/taskferry/tools.toml"]
