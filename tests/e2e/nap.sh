#!/bin/sh
# Sleeps for $1 seconds in a grandchild; leaves its process id in $2/<attempt> and a line in $2/log at the end.
echo $$ >"$2/$TASKFERRY_ATTEMPT.part" && mv "$2/$TASKFERRY_ATTEMPT.part" "$2/$TASKFERRY_ATTEMPT"
echo "::progress 1/2 half way" >&2
sleep "$1" &
wait $!
echo "::progress 2/2 rested" >&2
echo "attempt $TASKFERRY_ATTEMPT of $TASKFERRY_TASK_ID" | tee -a "$2/log"
