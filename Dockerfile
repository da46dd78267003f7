# The page and the service on a CPU: docker build -t idrestore . ; how to run it: docs/service.md
FROM python:3.12-slim-bookworm AS build
COPY . /source
# The index of CPU builds comes first: a bare torch brings gigabytes of CUDA packages.
RUN python -m venv /opt/idrestore \
 && /opt/idrestore/bin/pip install --no-cache-dir "torch>=2.6,<2.14" --index-url https://download.pytorch.org/whl/cpu \
 && /opt/idrestore/bin/pip install --no-cache-dir "/source[web]"

FROM python:3.12-slim-bookworm
RUN useradd --create-home --uid 10001 idrestore
COPY --from=build /opt/idrestore /opt/idrestore
ENV PATH=/opt/idrestore/bin:$PATH
USER 10001
WORKDIR /home/idrestore
EXPOSE 7860
# /health asks for no token.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
STOPSIGNAL SIGTERM
# Others can reach a container: without IDRESTORE_TOKEN it refuses to start.
CMD ["idrestore", "web", "--host", "0.0.0.0"]
