#!/bin/sh
# Tells $2 as progress, and ends when $1/go is there.
echo "::progress $2" >&2
until [ -e "$1/go" ] || [ ! -d "$1" ]; do sleep 0.05; done
