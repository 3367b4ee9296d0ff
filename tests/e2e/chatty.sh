#!/bin/sh
# Writes a log line of each of three levels, then its result.
for level in debug info error; do
  echo "::log $level a line of $level" >&2
done
sleep 0.2
echo done
