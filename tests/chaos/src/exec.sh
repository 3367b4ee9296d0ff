# The exec tool of a chaos run: notes each attempt in a file, as chaos-worker does, and tells progress on the way.
label=$1 steps=$2 retry_below=$3
note() {
  printf '{"event":"%s","task":"%s","attempt":%s,"label":"%s","worker":"shell %s"}\n' \
    "$1" "$TASKFERRY_TASK_ID" "$TASKFERRY_ATTEMPT" "$label" "$$" >>attempts.jsonl
}
note start
step=0
while [ "$step" -lt "$steps" ]; do
  echo "::message attempt $TASKFERRY_ATTEMPT step $step" >&2
  sleep 0.1
  step=$((step + 1))
done
if [ "$TASKFERRY_ATTEMPT" -lt "$retry_below" ]; then
  note retry
  exit 75
fi
note end
printf '{"task":"%s","attempt":%s,"label":"%s"}\n' "$TASKFERRY_TASK_ID" "$TASKFERRY_ATTEMPT" "$label"
