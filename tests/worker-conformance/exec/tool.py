"""The tools of docs/WORKER-CONFORMANCE.md, one a process."""

import json
import os
import sys
import time

arguments = json.loads(sys.stdin.readline())
attempt = int(os.environ["TASKFERRY_ATTEMPT"])


def told(line):
    print(line, file=sys.stderr, flush=True)


def answer(text):
    sys.stdout.write(text)


name = sys.argv[1]
if name == "echo":
    answer(arguments["text"])
elif name == "sleep":
    time.sleep(arguments["seconds"])
    answer(f"attempt {attempt}")
elif name == "wait":
    time.sleep(arguments["seconds"])
    answer("waited")
elif name == "late":
    time.sleep(30)
elif name == "progress":
    for number, text in enumerate(["one", "two", "three"], 1):
        told(f"::progress {number}/3 {text}")
        time.sleep(0.3)
    answer("done")
elif name == "log":
    told("::log info a line of the tool")
    time.sleep(0.3)
    answer("logged")
elif name == "ask":
    form = {"type": "object", "properties": {"name": {"type": "string"}}}
    told("::ask name elicitation " + json.dumps({"message": "Your name?", "requestedSchema": form}))
    given = json.loads(sys.stdin.readline())
    time.sleep(arguments.get("seconds", 0))
    if "result" not in given or "content" not in given["result"]:
        sys.exit("nobody said a name")
    answer("Hello, " + given["result"]["content"]["name"])
elif name == "fail":
    sys.exit(arguments["text"])
elif name == "retry":
    if attempt <= arguments["times"]:
        told(f"attempt {attempt} failed")
        sys.exit(75)
    answer(f"attempt {attempt}")
elif name == "big":
    answer("x" * arguments["letters"])
elif name == "empty":
    answer('{"content": []}')
elif name == "context":
    answer(
        json.dumps(
            {
                "task_id": os.environ["TASKFERRY_TASK_ID"],
                "origin_task_id": os.environ["TASKFERRY_ORIGIN_TASK_ID"],
                "attempt": attempt,
                "owner": os.environ["TASKFERRY_OWNER"],
                "traceparent": os.environ.get("TRACEPARENT"),
            }
        )
    )
