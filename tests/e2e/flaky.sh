#!/bin/sh
# Fails with a retryable error before attempt $1.
[ "$TASKFERRY_ATTEMPT" -ge "$1" ] && exec echo "attempt $TASKFERRY_ATTEMPT"
echo "try again"
exit 75
