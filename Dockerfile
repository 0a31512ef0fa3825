# syntax=docker/dockerfile:1
# Built in two stages: the first has pip, the second only what runs. `scripts/check_dockerfile.py` (make check) runs
# the RUN and start lines below in a fresh folder.

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY requirements/runtime.txt requirements/
RUN python -m venv /opt/leadwire \
 && /opt/leadwire/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY config config
RUN /opt/leadwire/bin/pip install --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps .

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin leadwire \
 && install -d -o leadwire -g leadwire -m 0700 /data
COPY --from=build /opt/leadwire /opt/leadwire
ENV PATH=/opt/leadwire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Everything that is written is under /data: run with --read-only, and a volume there.
WORKDIR /data
VOLUME /data
USER 10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
# The configuration is /data/config/leadwire.toml if it is there, else the defaults.
ENTRYPOINT ["leadwire"]
CMD ["serve", "--bind", "0.0.0.0:8080"]
