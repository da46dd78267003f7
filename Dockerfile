# The page and the service on a CPU: docker build -t idrestore . ; how to run it: docs/guide/service.md
FROM python:3.12-slim-bookworm AS build
# Where pip would bring gigabytes of CUDA packages: the address of an index of CPU builds, by --build-arg.
ARG TORCH_INDEX_URL=""
COPY . /source
RUN python -m venv /opt/idrestore \
 && /opt/idrestore/bin/pip install --no-cache-dir ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch>=2.6,<2.14" \
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
