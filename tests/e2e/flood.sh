#!/bin/sh
# Writes $1 log lines of a kilobyte each as fast as it can, then its result.
awk -v lines="$1" 'BEGIN {
  text = sprintf("%1000s", ""); gsub(/ /, "x", text)
  for (line = 1; line <= lines; line++) print "::log info " line " " text > "/dev/stderr"
}'
echo done
