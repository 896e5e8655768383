# Two stages: the first builds and installs, the second carries only what runs, as a user without rights.
# Every step that does something is scripts/image, which runs without Docker too (and does so in the tests).
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY scripts/image scripts/constraints.txt scripts/
COPY iodeep iodeep
COPY pacs_bridge pacs_bridge
RUN scripts/image install /opt/iodeep

FROM python:3.11-slim-bookworm
COPY scripts/image /usr/local/libexec/iodeep-image
RUN /usr/local/libexec/iodeep-image user /var/lib/iodeep
COPY --from=build /opt/iodeep /opt/iodeep
ENV PATH=/opt/iodeep/bin:$PATH IODEEP_CACHE=/var/lib/iodeep/cache
USER iodeep
WORKDIR /var/lib/iodeep
ENTRYPOINT ["iodeep"]
CMD ["--help"]
