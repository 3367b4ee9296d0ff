"""Asks two things and waits on standard input until both are answered."""

import json
import sys

FORM = {"type": "object", "properties": {"value": {"type": "string"}}}

sys.stdin.readline()
lines = []
for key in ("name", "confirm"):
    params = {"message": f"The {key}?", "requestedSchema": FORM}
    lines.append(f"::ask {key} elicitation {json.dumps(params)}\n")
# In one write, so that no pause comes between them on a busy machine.
sys.stderr.write("".join(lines))
sys.stderr.flush()
answers = {}
while len(answers) < 2:
    answer = json.loads(sys.stdin.readline())
    answers[answer.pop("key")] = answer
print(json.dumps(answers))
