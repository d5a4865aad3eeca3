# docker build -t nephoscope .
# Both images are arguments, for a site that has its own; deploy/local-images.sh makes them from Debian packages.
ARG BUILD_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /source
COPY . .
RUN deploy/build-binary.sh /out

FROM ${BASE_IMAGE}
# Roots for TLS to brokers and publishers. No machine-id: agents of one image would be taken for one machine.
RUN if [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then \
        apt-get update -q && apt-get install -y -q --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*; \
    fi \
    && rm -f /etc/machine-id /var/lib/dbus/machine-id \
    && groupadd --system --gid 10001 nephoscope \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/nephoscope --create-home nephoscope \
    && mkdir -p /etc/ceilometer /output && chown nephoscope:nephoscope /output
COPY --from=build /out/nephoscope /usr/local/bin/nephoscope
# By its number: Kubernetes cannot tell whether a name is root's.
USER 10001:10001
WORKDIR /var/lib/nephoscope
# /livez of [nephoscope] listen; asked with what every Debian image has.
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["bash", "-c", \
    "exec 3<> /dev/tcp/127.0.0.1/9187 && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200'"]
ENTRYPOINT ["nephoscope"]
CMD ["run", "--config-file", "/etc/ceilometer/ceilometer.conf"]
