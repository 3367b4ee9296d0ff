#!/bin/sh
# Adds $2 and its attempt to $1/order, and ends when $1/go is there.
echo "$2 $TASKFERRY_ATTEMPT" >>"$1/order"
echo "::progress 7/20 part 18" >&2
until [ -e "$1/go" ] || [ ! -d "$1" ]; do sleep 0.05; done
