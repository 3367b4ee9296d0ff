# Asks two things in one write, and is run again with the answers.
form='"requestedSchema":{"type":"object","properties":{"value":{"type":"string"}}}'
if [ "$TASKFERRY_ANSWERS" = '{}' ]; then
    printf '::ask %s elicitation {"message":"Who?",%s}\n' name "$form" confirm "$form" >&2
    exit 76
fi
echo "$TASKFERRY_ANSWERS"
