# Andon as one image: its environment under /opt/andon, the bot as a user without rights, state in one volume.
#
#   docker build --tag andon:0.1.0 .
#   docker run --init --restart unless-stopped --publish 8080:8080 \
#     --volume ./my-config:/etc/andon:ro --volume andon-state:/var/lib/andon --env-file andon.env andon:0.1.0
#
# Honestly: our CI has no Docker engine, so this image as a whole is not built there. tests/project/test_dockerfile.py
# runs its install steps in an empty directory with nothing but the copied files, starts the bot from what they installed, and runs the
# health check against it. Python 3.11 is what every test runs on; who wants bit-for-bit builds replaces the tag by a digest.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bot bot
COPY commands commands
COPY company company
COPY core core
COPY docs/schema docs/schema
COPY examples examples
COPY integrations integrations
COPY simulator simulator
COPY storage storage
COPY templates templates
RUN python -m venv /opt/andon
RUN /opt/andon/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[all]'

FROM python:3.11-slim-bookworm
# git and ssh: the code that a pipeline names as its `repository` is asked for ancestors and authors.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git openssh-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/andon /opt/andon
RUN useradd --system --uid 10001 --home-dir /var/lib/andon --create-home --shell /usr/sbin/nologin andon \
 && install --directory --mode 0755 /etc/andon
ENV PATH=/opt/andon/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ANDON_CONFIG=/etc/andon \
    ANDON_STATE=/var/lib/andon \
    HOST=0.0.0.0 \
    PORT=8080
WORKDIR /var/lib/andon
USER 10001
VOLUME /var/lib/andon
EXPOSE 8080
# It answers only when something can be recorded: a database that does not take writes makes this fail.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD python -c "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"
CMD ["andon", "run"]
