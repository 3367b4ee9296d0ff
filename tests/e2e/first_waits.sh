#!/bin/sh
# Leaves its process id in $1/<attempt>. A first attempt ends when the file $1/end is there, or the folder is gone; a
# later one at once.
echo $$ >"$1/$TASKFERRY_ATTEMPT.part" && mv "$1/$TASKFERRY_ATTEMPT.part" "$1/$TASKFERRY_ATTEMPT"
while [ "$TASKFERRY_ATTEMPT" = 1 ] && [ -d "$1" ] && [ ! -e "$1/end" ]; do sleep 0.05; done
echo "attempt $TASKFERRY_ATTEMPT of $TASKFERRY_TASK_ID"
