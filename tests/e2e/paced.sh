#!/bin/sh
# Takes step n, with a log line and progress, when the file $1/n is there; ends when $1/4 is, or soon once the folder is gone.
for step in 1 2 3 4; do
  until [ -e "$1/$step" ] || [ ! -d "$1" ]; do sleep 0.05; done
  [ "$step" = 4 ] && break
  echo "::log info step $step" >&2
  echo "::progress $step/3" >&2
done
echo done
