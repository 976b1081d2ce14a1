#!/bin/sh
# Runs berthd for a newcomer and says what to type next.  Options are passed on.
#
# usage: etc/tools/run.sh BERTHD [OPTION]...
set -eu
berthd=$1
shift
cat <<'TEXT'
berthd is about to serve on 127.0.0.1:5000, with its store in ./berth-data (Ctrl-C ends it).  In another terminal:

  docker pull alpine && docker tag alpine 127.0.0.1:5000/alpine && docker push 127.0.0.1:5000/alpine
  podman push --tls-verify=false alpine 127.0.0.1:5000/alpine
  skopeo copy --dest-tls-verify=false docker://alpine docker://127.0.0.1:5000/alpine
  curl http://127.0.0.1:5000/v2/_catalog

TEXT
exec "$berthd" serve "$@"
